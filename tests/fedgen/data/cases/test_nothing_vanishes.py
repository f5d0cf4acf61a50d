"""Every file of a folder is used, left out with a reason and a count, or refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedgen.data.build import build_index
from fedgen.data.folder_scan import files_of, hidden_files_of, scan_folder
from fedgen.errors import DataError, ExitCode
from fedgen.study.data import DataSection


def grain(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 32)).astype(np.uint8)


def excluded(folder: Path, data: DataSection) -> dict[str, int]:
    return {item.reason: item.count for item in build_index(folder, data).excluded}


def lenient(data: DataSection) -> DataSection:
    return data.model_copy(update={"unused_share": 1.0})


def test_images_that_the_table_does_not_list_are_counted_and_many_are_refused(
    people: Callable, one_class: DataSection
) -> None:
    folder = people(["P1", "P2"])
    for n in range(3):
        Image.fromarray(grain(50 + n)).save(folder / "im" / f"extra{n}.png")
    with pytest.raises(DataError, match=r"3 of 5 images would be left out .*would be 0.6\.") as caught:
        build_index(folder, one_class)
    assert caught.value.exit_code == ExitCode.DATA
    assert excluded(folder, one_class.model_copy(update={"unused_share": 0.6})) == {
        "image that the table does not list": 3
    }


def test_files_that_another_column_names_are_asked_for(people: Callable, one_class: DataSection) -> None:
    folder = people(["P1", "P2"])
    lines = (folder / "metadata.csv").read_text().splitlines()
    for n in range(2):
        Image.fromarray(grain(90 + n)).save(folder / "im" / f"mask{n}.png")
    added = ["outline", "im/mask0.png", "im/mask1.png"]
    (folder / "metadata.csv").write_text(
        "\n".join(f"{a},{b}" for a, b in zip(lines, added, strict=True)) + "\n"
    )
    assert excluded(folder, one_class) == {
        "named by the table's column outline, which the study does not use": 2
    }


def test_packed_files_and_unknown_endings_are_told(
    dicom: Callable, tmp_path: Path, one_class: DataSection
) -> None:
    folder = tmp_path / "d"
    kept = dicom(folder / "north" / "a.dcm")
    with zipfile.ZipFile(folder / "north" / "P2.zip", "w") as packed:
        packed.write(kept, "b.dcm")
    (folder / "north" / "c.dcm.gz").write_bytes(b"x")
    (folder / "north" / "d.svs").write_bytes(b"x")
    (folder / "viewer.exe").write_bytes(b"x")
    (folder / "README").write_text("x")
    with pytest.raises(DataError, match=r"3 of 4 images would be left out .*\(\.zip\)"):
        build_index(folder, one_class)
    index = build_index(folder, lenient(one_class))
    assert sum(item.count for item in index.excluded) == 3
    assert any(".exe" in finding.sentence and finding.kind == "unknown_files" for finding in index.findings)


def test_a_dicom_instance_exported_twice_is_one(
    dicom: Callable, tmp_path: Path, one_class: DataSection
) -> None:
    folder = tmp_path / "d"
    content = dicom(folder / "north" / "a.dcm").read_bytes()
    (folder / "again").mkdir()
    (folder / "again" / "copy.dcm").write_bytes(content)
    assert excluded(folder, one_class) == {"the same DICOM instance again": 1}
    assert build_index(folder, one_class).n_images == 1


def test_participants_without_images_and_images_without_participants(
    bids: Callable, one_class: DataSection
) -> None:
    rows = ["participant_id\tsite", "sub-1\ts", "sub-2\ts", "sub-9\ts"]
    folder = bids(["sub-1", "sub-2", "sub-3"], rows)
    with pytest.raises(DataError, match=r"1 x image of a subject that participants.tsv does not list"):
        build_index(folder, one_class)
    index = build_index(folder, lenient(one_class))
    assert index.patients == ("sub-1", "sub-2")
    assert {finding.kind: finding.count for finding in index.findings} == {
        "excluded": 1,
        "participants_without_images": 1,
    }


@pytest.mark.parametrize("lines", [None, ["participant_id", "sub-1", "2"]])
def test_bids_opens_as_one_site(bids: Callable, one_class: DataSection, lines: list[str] | None) -> None:
    folder = bids(["sub-1", "sub-2"], lines)
    index = build_index(folder, one_class)
    assert (index.sites, len(index.patients)) == (("dataset",), 2)
    assert [finding.kind for finding in index.findings] == ["site_from_folder"]
    named = build_index(folder, one_class, site="Ours")
    assert (named.sites, named.findings) == (("Ours",), ())


def test_every_file_is_in_exactly_one_account(people: Callable, one_class: DataSection) -> None:
    folder = people(["P1", "NA", "P2"])
    (folder / ".git").mkdir()
    for name in ("a.zip", "b.mha", "c.exe", "notes.txt", "noending", "im/z.png", ".git/x", "im/.y.png"):
        (folder / name).write_bytes(b"x")
    scan = scan_folder(folder, one_class)
    entries = {file for entry in scan.entries for file in entry.files}
    problems = {problem.path for problem in scan.problems}
    accounts = (entries, problems, scan.seen)
    assert sum(len(account) for account in accounts) == len(set().union(*accounts))
    assert set().union(*accounts) == {*files_of(folder), *hidden_files_of(folder)}
    assert len(scan.seen) == scan.excluded.total() + scan.unasked.total() + scan.beside.total()


def test_hidden_files_are_counted_as_what_they_are(people: Callable, one_class: DataSection) -> None:
    folder = people(["P1", "P2", "P3"])
    (folder / ".git" / "annex").mkdir(parents=True)
    (folder / ".Trash-1000").mkdir()
    for name in (".DS_Store", "im/.DS_Store", "im/._0.png", ".git/config", ".git/annex/1.png", ".xyz"):
        (folder / name).write_bytes(b"x")
    (folder / ".Trash-1000" / "old.png").write_bytes(b"x")
    # A link to a folder above ends, in the open and in hiding.
    (folder / "im" / "up").symlink_to(folder, target_is_directory=True)
    (folder / ".git" / "up").symlink_to(folder, target_is_directory=True)
    index = build_index(folder, one_class)
    assert len(index.entries) == 3
    assert [(finding.kind, finding.count) for finding in index.findings] == [("hidden_files", 7)]
    assert index.findings[0].sentence == (
        "7 hidden files (names that begin with a dot, folders of programs) not looked at: 2 how macOS shows a folder, "
        "2 version control "
        "(git), 1 deleted files, 1 of unknown purpose, 1 attributes that macOS keeps beside a file."
    )


def test_a_hidden_image_is_left_out_and_not_for_nothing(people: Callable, one_class: DataSection) -> None:
    folder = people(["P1", "P2"])
    Image.fromarray(grain(50)).save(folder / "im" / ".2.png")
    with pytest.raises(DataError, match=r"1 of 3 images would be left out .*hidden image .*rename it"):
        build_index(folder, one_class)
    (folder / "im" / ".2.png").rename(folder / "im" / "._2.png")
    assert [finding.kind for finding in build_index(folder, one_class).findings] == ["hidden_files"]


def test_a_path_in_another_composition_finds_its_file(people: Callable, one_class: DataSection) -> None:
    folder = people(["P1", "P2"])
    (folder / "im" / "0.png").rename(folder / "im" / "u\u0308.png")
    (folder / "im" / "1.png").rename(folder / "im" / "ONE.png")
    text = (folder / "metadata.csv").read_text()
    (folder / "metadata.csv").write_text(
        text.replace("im/0.png", "im/ü.png").replace("im/1.png", "im/ONE.png")
    )
    assert [entry.path for entry in build_index(folder, one_class).entries] == [
        "im/u\u0308.png",
        "im/ONE.png",
    ]
    (folder / "metadata.csv").write_text(
        text.replace("im/0.png", "im/ü.png").replace("im/1.png", "im/one.png")
    )
    with pytest.raises(DataError, match=r"im/one.png does not exist, but a file does that differs"):
        build_index(folder, one_class)


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("part-phase_T1w", "part-phase_T1w"),
        ("part-mag_T1w", "T1w"),
        ("ce-gad_part-real_T1w", "ce-gad_part-real_T1w"),
    ],
)
def test_the_phase_of_a_scan_is_another_kind_of_picture(
    bids: Callable, one_class: DataSection, name: str, modality: str
) -> None:
    folder = bids(["sub-1", "sub-2"], None)
    place = folder / "sub-2" / "anat"
    (place / "sub-2_T1w.nii.gz").rename(place / f"sub-2_{name}.nii.gz")
    index = build_index(folder, one_class)
    assert [entry.modality for entry in index.entries] == ["T1w", modality]
    told = [finding.sentence for finding in index.findings if finding.kind == "mixed_kinds"]
    assert bool(told) == (modality != "T1w")
    asked = one_class.model_copy(update={"modality": "T1w"})
    index = build_index(folder, asked)
    assert len(index.entries) == (2 if modality == "T1w" else 1)
    assert "mixed_kinds" not in {finding.kind for finding in index.findings}


def test_a_mask_that_took_a_face_off_is_no_image(bids: Callable, one_class: DataSection) -> None:
    folder = bids(["sub-1", "sub-2"], None)
    place = folder / "sub-2" / "anat"
    (place / "sub-2_T1w.nii.gz").rename(place / "sub-2_mod-T1w_defacemask.nii.gz")
    index = build_index(folder, one_class)
    assert len(index.entries) == 1
    assert {each.reason: each.count for each in index.excluded} == {"label image": 1}


def test_images_that_an_export_gave_one_identity_are_not_taken_for_one(
    dicom: Callable[..., Path], tmp_path: Path, one_class: DataSection
) -> None:
    for number in range(3):
        dicom(tmp_path / "d" / f"{number}.dcm", number, SOPInstanceUID="1.2.3", PatientID="P")
    dicom(tmp_path / "d" / "copy.dcm", 0, SOPInstanceUID="1.2.3", PatientID="P")
    with pytest.raises(DataError, match=r"2 x an image with the SOPInstanceUID of another"):
        build_index(tmp_path / "d", one_class)
    found = excluded(tmp_path / "d", lenient(one_class))
    assert found == {
        "the same DICOM instance again": 1,
        "an image with the SOPInstanceUID of another, which only one image can have": 2,
    }


@pytest.mark.parametrize("folder", ["@eaDir/a.png", "__MACOSX", "$RECYCLE.BIN", "#recycle"])
def test_what_a_program_put_away_is_hidden(people: Callable, one_class: DataSection, folder: str) -> None:
    data = people([f"p{n}" for n in range(3)])
    away = data / folder
    away.mkdir(parents=True)
    Image.fromarray(grain(7)).save(away / "SYNOPHOTO_THUMB_M.png")
    assert not [path for path in files_of(data) if "THUMB" in path]
    assert hidden_files_of(data) == (f"{folder}/SYNOPHOTO_THUMB_M.png",)
    (told,) = [each for each in build_index(data, one_class).findings if each.kind == "hidden_files"]
    assert told.count == 1
    assert "unknown purpose" not in told.sentence
