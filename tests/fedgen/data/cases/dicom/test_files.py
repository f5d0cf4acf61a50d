"""Which files of an export are pictures: endings, preambles, kinds, damage; and how large their pixels are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from fedgen.data.build import build_index
from fedgen.data.decode import decode_site
from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.dicom import DECODER
from fedgen.data.decoders.registry import decoder_for
from fedgen.data.folder_scan import scan_folder
from fedgen.data.index import PatientIndex
from fedgen.errors import DataError
from fedgen.study.data import DataSection

WriteDicom = Callable[..., Dataset]
PICTURE = np.arange(48, dtype=np.uint16).reshape(6, 8)


def data(**keys: Any) -> DataSection:
    return DataSection.model_validate(
        {"labels": ["image"], "image_size": [16, 16], "one_class_sites": "allow", **keys}
    )


def left_out(index: PatientIndex) -> dict[str, int]:
    return {each.reason: each.count for each in index.excluded}


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("name", ["b.dcm", "IM_0002", "1.2.840.7", "b.ct"])
def test_a_file_without_preamble_is_read(
    write_dicom: WriteDicom, tmp_path: Path, syntax: Any, name: str
) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE)
    dataset = write_dicom(tmp_path / "b.tmp", PICTURE + 1, PatientID="P2", syntax=syntax)
    (tmp_path / "b.tmp").unlink()
    del dataset.file_meta
    pydicom.dcmwrite(
        tmp_path / name, dataset, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian
    )
    assert (tmp_path / name).read_bytes()[128:132] != b"DICM"
    assert build_index(tmp_path, data()).patients == ("P1", "P2")
    assert decoder_for(tmp_path / name) is DECODER
    np.testing.assert_array_equal(DECODER.pixels(tmp_path / name, None)[0, ..., 0], PICTURE + 1)


@pytest.mark.parametrize("ending", [".mr", ".CT", ".dc3", ".img", ".acr", ".v2", ".DCM", ".IMA", ".0001", ""])
def test_endings_say_little(write_dicom: WriteDicom, tmp_path: Path, ending: str) -> None:
    write_dicom(tmp_path / f"x{ending}", PICTURE)
    (tmp_path / "notes.txt").write_text("no image")
    assert [entry.path for entry in build_index(tmp_path, data()).entries] == [f"x{ending}"]


@pytest.mark.parametrize("content", [b"", b"\x08\0", b"text of a reader " * 20, bytes(4000), b"\x08\0" * 400])
def test_what_is_no_dicom_is_named(write_dicom: WriteDicom, tmp_path: Path, content: bytes) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE)
    (tmp_path / "b.dcm").write_bytes(content)
    with pytest.raises(DataError, match=r"^b\.dcm "):
        build_index(tmp_path, data())


@pytest.mark.parametrize(
    ("sop_class", "tags", "reason"),
    [
        ("1.2.840.10008.5.1.4.1.1.66.4", {"Modality": "SEG"}, "segmentation"),
        ("1.2.840.10008.5.1.4.1.1.481.2", {"Modality": "RTDOSE"}, "radiotherapy dose"),
        ("1.2.840.10008.5.1.4.1.1.2", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        (
            "1.2.840.10008.5.1.4.1.1.2",
            {"ImageType": ["DERIVED", "SECONDARY", "OTHER", "CT_SOM5 TOPOGRAM"]},
            "localizer",
        ),
        (
            "1.2.840.10008.5.1.4.1.1.7",
            {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
            "picture of a screen",
        ),
        (
            "1.2.840.10008.5.1.4.1.1.7",
            {"ImageType": ["DERIVED", "PRIMARY", "DOSE_INFO"]},
            "picture of a screen",
        ),
        (
            "1.2.840.10008.5.1.4.1.1.4",
            {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]},
            "mosaic of slices",
        ),
        ("1.2.840.10008.5.1.4.1.1.77.1.6", {"Modality": "SM"}, "whole-slide image"),
    ],
)
def test_what_is_no_picture_of_a_patient_is_set_aside(
    write_dicom: WriteDicom, tmp_path: Path, sop_class: str, tags: dict[str, Any], reason: str
) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    write_dicom(tmp_path / "b.dcm", PICTURE, SOPClassUID=sop_class, **tags)
    (only,) = left_out(build_index(tmp_path, data())).items()
    assert only[0].startswith(reason)
    assert only[1] == 1


@pytest.mark.parametrize(
    ("sop_class", "modality", "reason"),
    [
        ("1.2.840.10008.5.1.4.1.1.88.33", "SR", "structured report"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "KO", "key object selection"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "PR", "presentation state"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "DOC", "document"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT", "radiotherapy structures"),
        ("1.2.840.10008.5.1.4.1.1.9.1.1", "ECG", "waveform"),
        ("1.2.840.10008.1.3.10", "", "DICOMDIR"),
        ("1.2.3.4", "PR", "presentation state"),
    ],
)
def test_objects_without_pixels_are_set_aside(
    write_dicom: WriteDicom, tmp_path: Path, sop_class: str, modality: str, reason: str
) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE)
    write_dicom(tmp_path / "b.dcm", SOPClassUID=sop_class, Modality=modality)
    assert left_out(build_index(tmp_path, data())) == {reason: 1}


def test_what_is_asked_for_by_its_name_is_no_bycatch(write_dicom: WriteDicom, tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE)
    write_dicom(
        tmp_path / "dose.dcm", PICTURE, SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2", Modality="RTDOSE"
    )
    write_dicom(
        tmp_path / "scout.dcm",
        PICTURE,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        SeriesDescription="Scout",
    )
    for asked, path in (("RTDOSE", "dose.dcm"), ("Scout", "scout.dcm"), ("CT", "a.dcm")):
        assert [entry.path for entry in build_index(tmp_path, data(modality=asked)).entries] == [path]


def test_text_in_the_picture_is_told(write_dicom: WriteDicom, tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE, BurnedInAnnotation="YES", Modality="US")
    (finding,) = build_index(tmp_path, data()).findings
    assert (finding.kind, finding.count, finding.example) == ("burned_in", 1, "a.dcm")


def test_a_file_of_nobody_is_one_problem_among_others(write_dicom: WriteDicom, tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE)
    write_dicom(tmp_path / "b.dcm", PICTURE + 1, PatientID="")
    scan = scan_folder(tmp_path, data())
    assert [problem.path for problem in scan.problems] == ["b.dcm"]
    with pytest.raises(DataError, match=r"b\.dcm has no PatientID"):
        build_index(tmp_path, data())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def patched(old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (patched(b"IS\x02\x0011", b"IS\x02\x001A"), "NumberOfFrames 1A, which is no whole number"),
        (patched(b"\x08\0\x60\0CS", b"\x08\0\x60\0C\x87"), "Modality that cannot be read"),
        (patched(b"0.25\\0.25 ", b"abcd\\0.25 "), r"PixelSpacing abcd.*, which is no number"),
        (patched(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"), "transfer syntax"),
    ],
)
def test_damage_is_named(
    write_dicom: WriteDicom, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    frames = np.stack([PICTURE] * 11)
    write_dicom(tmp_path / "a.dcm", frames, PixelSpacing=["0.25", "0.25 "])
    damage(tmp_path / "a.dcm")
    with pytest.raises(DataError, match=rf"a\.dcm has .*{reason}"):
        build_index(tmp_path, data())


def test_a_deflated_file_cut_short_is_named(write_dicom: WriteDicom, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 999, (64, 64)).astype(np.uint16)
    write_dicom(tmp_path / "a.dcm", noise, syntax=DeflatedExplicitVRLittleEndian)
    cut(tmp_path / "a.dcm")
    with pytest.raises(DataError, match=r"a\.dcm cannot be read as DICOM \(.*incomplete"):
        build_index(tmp_path, data())


def test_a_broken_link_is_named(write_dicom: WriteDicom, tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE)
    (tmp_path / "IM_0002").symlink_to("gone")
    with pytest.raises(DataError, match=r"IM_0002 cannot be read \(No such file"):
        build_index(tmp_path, data())


def of_measures(**measures: Any) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        item, group = Dataset(), Dataset()
        for keyword, value in measures.items():
            setattr(item, keyword, value)
        group.PixelMeasuresSequence = Sequence([item])
        dataset.SharedFunctionalGroupsSequence = Sequence([group])

    return change


def of_ultrasound(*regions: tuple[float, float, int]) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        items = []
        for x, y, units in regions:
            item = Dataset()
            item.PhysicalDeltaX, item.PhysicalDeltaY = x, y
            item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = units
            items.append(item)
        dataset.SequenceOfUltrasoundRegions = Sequence(items)

    return change


@pytest.mark.parametrize(
    ("given", "spacing", "aspect"),
    [
        ({"change": of_measures(PixelSpacing=[2, 1])}, (2.0, 1.0), None),
        ({"PixelSpacing": [2, 1], "ImagerPixelSpacing": [9, 9]}, (2.0, 1.0), None),
        ({"ImagerPixelSpacing": [2, 1]}, (2.0, 1.0), None),
        ({"NominalScannedPixelSpacing": [2, 1]}, (2.0, 1.0), None),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [2, 1]}, (2.0, 1.0), None),
        ({"change": of_ultrasound((0.1, 0.2, 3))}, (2.0, 1.0), None),
        ({"change": of_ultrasound((0.1, 0.2, 3), (0.1, 0.2, 4))}, None, None),
        ({"change": of_ultrasound((0.1, 0.2, 4))}, None, None),
        ({"PixelAspectRatio": [2, 1]}, None, 2.0),
        ({"PixelAspectRatio": [2, 1], "PixelSpacing": [1, 1]}, (1.0, 1.0), None),
        ({}, None, None),
    ],
)
def test_how_large_a_pixel_is(
    write_dicom: WriteDicom, tmp_path: Path, given: Any, spacing: Any, aspect: Any
) -> None:
    # A disc that is round in millimetres, where its pixels are twice as high as wide.
    y, x = np.mgrid[0:32, 0:64]
    disc = (((y - 15.5) * 2) ** 2 + (x - 31.5) ** 2 <= 25**2).astype(np.uint16) * 255
    write_dicom(tmp_path / "a.dcm", disc, **given)
    index = build_index(tmp_path, data(image_size=[32, 32]))
    (entry,) = index.entries
    assert (entry.spacing, entry.aspect) == (spacing, aspect)
    image = decode_site(tmp_path, index.entries, data(image_size=[32, 32])).images[0, 0] > 0
    high, wide = (np.ptp(np.nonzero(image)[axis]) + 1 for axis in (0, 1))
    round_ = spacing == (2.0, 1.0) or aspect == 2.0
    assert abs(high - wide) <= 1 if round_ else wide > 1.8 * high


@pytest.mark.parametrize(
    ("old", "new", "spacing", "word"),
    [
        (b"0.51\\0.51 ", b"0,51\\0,51 ", (0.51, 0.51), "decimal commas"),
        (b"0.51\\0.51 ", b"0.51      ", (0.51, 0.51), "one number"),
    ],
)
def test_a_guessed_spacing_is_told(
    write_dicom: WriteDicom, tmp_path: Path, old: bytes, new: bytes, spacing: Any, word: str
) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE, PixelSpacing=["0.51", "0.51"])
    patched(old, new)(tmp_path / "a.dcm")
    index = build_index(tmp_path, data())
    assert index.entries[0].spacing == spacing
    assert [word in finding.sentence for finding in index.findings] == [True]


def test_a_file_that_says_it_is_a_picture_and_has_none(write_dicom: WriteDicom, tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm")
    with pytest.raises(UnreadableError, match="has no pixels"):
        DECODER.header(tmp_path / "a.dcm", 2)


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [
        ("1", "CR"),
        ("1.1", "DX"),
        ("1.1.1", "DX"),
        ("1.2", "MG"),
        ("2.1", "CT"),
        ("4", "MR"),
        ("7", ""),
        ("20", "NM"),
    ],
)
def test_a_class_tells_the_modality_that_nobody_wrote(
    write_dicom: WriteDicom, tmp_path: Path, sop_class: str, modality: str
) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{sop_class}", Modality="")
    write_dicom(tmp_path / "b.dcm", PICTURE, SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1", Modality="CR")
    index = build_index(tmp_path, data(labels=["any"]))
    # What is written stands.
    assert {entry.path: entry.modality for entry in index.entries} == {"a.dcm": modality, "b.dcm": "CR"}


@pytest.mark.parametrize(
    ("modality", "kind", "word"),
    [
        ("MR", ["ORIGINAL", "PRIMARY", "P", "ND"], "phase"),
        ("MR", ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "SE"], "phase"),
        ("MR", ["ORIGINAL", "PRIMARY", "M", "ND"], ""),
        ("MR", ["DERIVED", "PRIMARY", "PROJECTION IMAGE", "M"], "projection"),
        ("CT", ["ORIGINAL", "PRIMARY", "AXIAL"], ""),
        ("CT", ["DERIVED", "SECONDARY", "MIP"], "projection"),
        ("CR", ["ORIGINAL", "PRIMARY", "P"], ""),
    ],
)
def test_what_shows_no_magnitude_and_no_slice_is_told(
    write_dicom: WriteDicom, tmp_path: Path, modality: str, kind: list[str], word: str
) -> None:
    write_dicom(tmp_path / "a.dcm", PICTURE, Modality=modality, ImageType=kind)
    told = [each.sentence for each in build_index(tmp_path, data(labels=["any"])).findings]
    assert [word in sentence for sentence in told] == ([True] if word else [])
