"""Indexing folders of each layout, and what is refused."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.data.build import build_index
from fedgen.data.decoders.decoder import Header
from fedgen.data.index import (
    INDEX_VERSION,
    PatientIndex,
    SliceRange,
    read_index,
    site_name,
    site_names,
    write_index,
)
from fedgen.data.layouts.bids import BidsName
from fedgen.data.layouts.layout import slice_range
from fedgen.errors import DataError
from fedgen.study.data import Columns, DataSection, Phantom, Slices


def test_table_layout_reads_every_row_in_an_order_of_its_own(png_folder: Path, png_rows, write_rows) -> None:
    index = build_index(png_folder, DataSection())
    assert (index.layout, index.sites, len(index.patients), index.n_images) == (
        "table",
        ("north", "south"),
        16,
        32,
    )
    first = index.entries[0]
    assert (first.path, first.patient, first.label, first.size) == (
        "images/north-0-0.png",
        "north0",
        "none",
        (20, 28),
    )
    write_rows(png_folder / "metadata.csv", list(reversed(png_rows)))
    assert build_index(png_folder, DataSection()) == index


def test_index_file_reads_back_equal(png_folder: Path, bids_folder: Path, tmp_path: Path) -> None:
    for index in (
        build_index(png_folder, DataSection()),
        build_index(bids_folder, DataSection(labels=("image",))),
    ):
        write_index(tmp_path / "index.json", index)
        assert read_index(tmp_path / "index.json") == index
    (tmp_path / "index.json").write_text('{"version": 0}')
    with pytest.raises(
        DataError,
        match=rf"not an index of this version \(its version is 0, this program.s {INDEX_VERSION}\)",
    ):
        read_index(tmp_path / "index.json")


def test_phantom_layout_keeps_one_series_with_its_tags(phantom_folder: Path) -> None:
    data = DataSection(modality="T1w", columns=Columns(mask="mask"))
    index = build_index(phantom_folder, data)
    assert index.layout == "dicom"
    assert index.sites == ("Ashford", "Brookside")
    assert len(index.patients) == 12
    assert {(entry.modality, entry.series) for entry in index.entries} == {("MR", "T1w")}
    assert all(entry.spacing and abs(entry.spacing[0] - 220 / 48) < 1e-4 for entry in index.entries)
    assert all(entry.mask and (phantom_folder / entry.mask).is_file() for entry in index.entries)
    assert {item.reason for item in index.excluded} == {
        "other modality (T2w)",
        "named by the table's column tissue_mask, which the study does not use",
    }
    both = build_index(phantom_folder, DataSection(modality="MR"))
    assert both.n_images == 2 * index.n_images == index.n_images + index.excluded[0].count


def test_bids_layout_takes_persons_sessions_and_slices(bids_folder: Path) -> None:
    data = DataSection(modality="T1w", labels=("image",), columns=Columns(mask="dseg"))
    index = build_index(bids_folder, data)
    assert [(e.patient, e.site, e.study) for e in index.entries] == [
        ("ann", "north", ""),
        ("ann", "south", ""),
        ("bob", "south", "ses-1"),
        ("bob", "south", "ses-2"),
    ]
    assert {item.reason: item.count for item in index.excluded} == {
        "label image": 4,
        "other modality (T2w)": 4,
        "other modality (ce-gad_T1w)": 4,
    }
    # 11 slices: the fractions 0.4 and 0.6 are slices 4 and 6, every second one.
    assert {entry.slices for entry in index.entries} == {SliceRange(2, 4, 7, 2, depth=11)}
    assert index.n_images == 8
    assert {entry.size for entry in index.entries} == {(8, 6)}
    assert all(entry.mask and entry.mask.endswith("_dseg.nii.gz") for entry in index.entries)
    shared = [finding for finding in index.findings if finding.kind == "patient_at_several_sites"]
    assert [finding.count for finding in shared] == [1]
    assert "epsilon is the sum over the sites" in shared[0].sentence


def test_bids_names() -> None:
    name = BidsName.parse("sub-01_ses-2_acq-x_ce-gad_T1w.nii.gz")
    assert name is not None
    assert (name.session, name.modality, name.series) == (
        ("sub-01", "ses-2"),
        "ce-gad_T1w",
        "acq-x_ce-gad_T1w",
    )
    assert BidsName.parse("T1w.nii.gz") is None
    assert BidsName.parse("sub-01_T1-w.nii") is None


def test_slices_cover_the_fractions_and_never_leave_the_volume() -> None:
    for depth in (1, 2, 7, 64):
        for lower, upper in ((0.0, 1.0), (0.4, 0.6), (1.0, 1.0), (0.0, 0.0)):
            found = slice_range(Header((4, 4), depth, 2), Slices(lower=lower, upper=upper, every=1))
            assert found is not None
            assert 0 <= found.start < found.stop <= depth
    assert slice_range(Header((4, 4)), Slices()) is None


def test_other_labels_are_refused_with_values_or_excluded_with_counts(png_folder: Path) -> None:
    with pytest.raises(DataError, match=r"16 images have a label .* lesion x 16; list it"):
        build_index(png_folder, DataSection(labels=("none",), one_class_sites="allow"))
    index = build_index(png_folder, DataSection(labels=("none",), other_labels="exclude"))
    assert index.n_images == 16
    assert [(item.reason, item.count) for item in index.excluded] == [
        ("label 'lesion' not in data.labels", 16)
    ]
    assert [finding.count for finding in index.findings if finding.kind == "excluded"] == [16]


def test_an_empty_label_counts_as_missing(png_folder: Path, png_rows, write_rows) -> None:
    png_rows[0]["label"] = ""
    write_rows(png_folder / "metadata.csv", png_rows)
    with pytest.raises(DataError, match=r"1 image has a label .*\(empty\) x 1"):
        build_index(png_folder, DataSection())


def test_one_class_sites_are_refused_or_reported(png_folder: Path, png_rows, write_rows) -> None:
    for row in png_rows:
        if row["site"] == "south":
            row["label"] = "none"
    write_rows(png_folder / "metadata.csv", png_rows)
    with pytest.raises(
        DataError, match=r"1 site holds a single class: south \(none\); set data.one_class_sites"
    ):
        build_index(png_folder, DataSection())
    index = build_index(png_folder, DataSection(one_class_sites="allow"))
    assert [finding.kind for finding in index.findings] == ["one_class_site"]


BROKEN: list[tuple[str, str]] = [
    (
        "no column",
        r"metadata.csv has no column 'patient' \(it has image, person, site, label\)",
    ),
    ("missing file", r"images/gone.png does not exist \(row 2 of metadata.csv\)"),
    ("duplicated row", r"metadata.csv lists images/north-0-0.png twice \(rows 2 and 3\)"),
    ("empty patient", r"images/north-1-0.png has no patient.*row 4 of metadata.csv"),
    ("outside", r"row 2 names \.\./\.\./x.png, which is not inside"),
    ("ending", r"images/x.bam has an ending no reader knows"),
]


@pytest.mark.parametrize(("fault", "sentence"), BROKEN)
def test_broken_tables_are_refused_in_one_sentence(
    png_folder: Path, png_rows, write_rows, fault: str, sentence: str
) -> None:
    if fault == "no column":
        png_rows = [
            {"image": r["image"], "person": r["patient"], "site": "s", "label": "x"} for r in png_rows
        ]
    elif fault == "missing file":
        png_rows[0]["image"] = "images/gone.png"
    elif fault == "duplicated row":
        png_rows.insert(1, dict(png_rows[0]))
    elif fault == "empty patient":
        png_rows[2]["patient"] = " "
    elif fault == "outside":
        png_rows[0]["image"] = "../../x.png"
    else:
        (png_folder / "images" / "x.bam").write_bytes(b"x")
        png_rows[0]["image"] = "images/x.bam"
    write_rows(png_folder / "metadata.csv", png_rows)
    with pytest.raises(DataError, match=sentence) as caught:
        build_index(png_folder, DataSection())
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_folders_that_hold_nothing(tmp_path: Path, png_folder: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        build_index(tmp_path / "absent", DataSection())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is empty"):
        build_index(tmp_path / "empty", DataSection())
    (png_folder / "metadata.csv").unlink()
    with pytest.raises(DataError, match=r"list them in a metadata\.csv"):
        build_index(png_folder, DataSection())
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no image")
    with pytest.raises(DataError, match="has no table and no DICOM files"):
        build_index(tmp_path / "texts", DataSection())
    (png_folder / "a.csv").write_text("image\n")
    (png_folder / "b.csv").write_text("image\n")
    with pytest.raises(DataError, match=r"several tables \(a.csv, b.csv\): keep one, or name the one"):
        build_index(png_folder, DataSection())


def test_a_link_to_its_own_parent_ends(bids_folder: Path) -> None:
    data = DataSection(modality="T1w", labels=("image",))
    expected = build_index(bids_folder, data)
    (bids_folder / "sub-a" / "loop").symlink_to(bids_folder, target_is_directory=True)
    assert build_index(bids_folder, data) == expected


def test_a_folder_that_cannot_be_read_is_not_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Root reads every folder, so the refusal of the system is played.
    def scandir(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(DataError, match=r"Cannot read the folder .* \(Permission denied\)"):
        build_index(tmp_path, DataSection())


def test_a_modality_nobody_has_is_refused(bids_folder: Path) -> None:
    with pytest.raises(DataError, match=r"no usable image of modality CT .* 4 x other modality"):
        build_index(bids_folder, DataSection(modality="CT", labels=("image",)))


def test_semicolons_tabs_and_byte_order_marks(png_folder: Path) -> None:
    text = (png_folder / "metadata.csv").read_text()
    expected = build_index(png_folder, DataSection())
    for separator in (";", "\t"):
        changed = "\ufeff" + text.replace(",", separator).replace("\n", "\r\n")
        (png_folder / "metadata.csv").write_text(changed, newline="")
        assert build_index(png_folder, DataSection()) == expected


@given(st.text(min_size=1, max_size=40))
def test_site_names_are_safe_folder_names(name: str) -> None:
    safe = site_name(name)
    assert re.fullmatch(r"([\w-]([\w.-]*[\w-])?)?", safe)
    assert site_name(safe) == safe


def test_site_names_that_collide_are_refused() -> None:
    assert site_names(["St. Mary", "../x"]) == {"St. Mary": "St._Mary", "../x": "x"}
    with pytest.raises(DataError, match="too alike"):
        site_names(["a b", "a_b"])
    with pytest.raises(DataError, match="no letter or digit"):
        site_names(["..."])


def test_entries_are_frozen(png_folder: Path) -> None:
    index: PatientIndex = build_index(png_folder, DataSection())
    with pytest.raises(dataclasses.FrozenInstanceError):
        index.entries[0].patient = "x"  # type: ignore[misc]


@pytest.fixture(scope="module")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sites of six patients."""
    from fedgen.data.phantom.write import write_phantom

    folder = tmp_path_factory.mktemp("dicom") / "phantom"
    write_phantom(folder, Phantom(sites=2, patients=6), 1, (48, 48))
    return folder


def test_dicom_faults(phantom_folder: Path, tmp_path: Path, dicom_copy: Callable[..., Path]) -> None:
    with pytest.raises(
        DataError, match="has no PatientID, or one that means none, so its privacy unit is unknown"
    ):
        build_index(dicom_copy(phantom_folder, PatientID=""), DataSection(labels=("image",)))
    with pytest.raises(DataError, match="has no pixels"):
        build_index(dicom_copy(phantom_folder, Rows=None, Columns=None), DataSection(labels=("image",)))
    folder = dicom_copy(phantom_folder, InstitutionName="")
    (finding,) = build_index(folder, DataSection(labels=("image",))).findings
    assert finding.kind == "site_from_folder"
    with pytest.raises(DataError, match="Nothing tells the 2 classes apart"):
        build_index(folder, DataSection())
    (folder / "labels.csv").write_text("accession,label\n1,none\n")
    with pytest.raises(DataError, match="has none of the columns SOPInstanceUID"):
        build_index(folder, DataSection())


@pytest.fixture
def dicom_copy(tmp_path: Path) -> Callable[..., Path]:
    """dicom_copy(folder, Tag=value) -> a folder with one of its files, tags changed (None deletes)."""
    import pydicom

    def make(folder: Path, **tags: object) -> Path:
        copy = tmp_path / ("copy-" + "-".join(tags))
        copy.mkdir()
        dataset = pydicom.dcmread(sorted(folder.rglob("*.dcm"))[0])
        for keyword, value in tags.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        dataset.save_as(copy / "one.dcm")
        return copy

    return make
