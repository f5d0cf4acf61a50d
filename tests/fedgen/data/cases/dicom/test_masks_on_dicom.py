"""Masks of DICOM images: pictures drawn on them, volumes of other formats, segmentations and contours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from highdicom.seg import Segmentation, SegmentDescription
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from fedgen.data.build import build_index
from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.inspect.look import inspect_data
from fedgen.data.masks.labels import MaskMark
from fedgen.data.masks.read import read_masks
from fedgen.data.read import read_stored
from fedgen.errors import DataError
from fedgen.study.data import DataSection

WriteDicom = Callable[..., Dataset]
EVERY = {"lower": 0, "upper": 1, "every": 1}


def section(**keys: Any) -> DataSection:
    return DataSection.model_validate(
        {"labels": ["any"], "columns": {"mask": "mask"}, "slices": EVERY, **keys}
    )


@pytest.mark.parametrize("plane", ["PL", "IP", "IL", "AR", "RS"])
def test_a_picture_on_a_slice_turns_with_it(tmp_path: Path, write_dicom: WriteDicom, plane: str) -> None:
    """Drawn on the stored pixels, as a viewer shows them: it marks the same anatomy after both are turned."""
    pixels = np.arange(16 * 12, dtype=np.uint16).reshape(16, 12)
    write_dicom(tmp_path / "a.dcm", pixels, plane=plane, position=(0, 0, 0))
    Image.fromarray((pixels % 7).astype(np.uint8)).save(tmp_path / "m.png")
    (tmp_path / "metadata.csv").write_text("image,mask,patient,site,label\na.dcm,m.png,ann,north,any\n")
    (entry,) = build_index(tmp_path, section()).entries
    labels, mark = read_masks(tmp_path, entry)
    np.testing.assert_array_equal(labels, read_stored(tmp_path, entry)[..., 0] % 7)
    assert mark == MaskMark.PRESENT


def series(folder: Path, write_dicom: WriteDicom, plane: str = "PL") -> np.ndarray:
    """Five slices 3 mm apart with pixels of 2 x 1 mm; the values (slice, row, column) as stored."""
    stored = np.random.default_rng(0).integers(0, 500, (5, 16, 12)).astype(np.uint16)
    (through,) = {0, 1, 2} - {"LPSRAI".index(side) % 3 for side in plane}
    for number, pixels in enumerate(stored):
        position = [10.0, -20.0, 30.0]
        position[through] += 3 * number
        write_dicom(
            folder / f"{number}.dcm",
            pixels,
            plane=plane,
            position=tuple(position),
            PixelSpacing=[2, 1],
            InstanceNumber=number + 1,
        )
    return stored


def test_a_volume_of_another_format_finds_its_series(tmp_path: Path, write_dicom: WriteDicom) -> None:
    """The affine is that of DICOM PS3.3, C.7.6.2.1.1, by hand, turned from LPS to RAS."""
    stored = series(tmp_path, write_dicom)
    affine = np.diag([-1.0, -1, 1, 1]) @ np.array(
        [[1, 0, 0, 10], [0, 2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1.0]]
    )
    classes = (stored.transpose(2, 1, 0) % 4).astype(np.uint8)
    nib.save(nib.Nifti1Image(classes, affine), tmp_path / "mask.nii.gz")
    (tmp_path / "labels.csv").write_text("SeriesInstanceUID,mask,label\n1.2.3,mask.nii.gz,any\n")
    (entry,) = build_index(tmp_path, section()).entries
    labels, mark = read_masks(tmp_path, entry)
    assert mark == MaskMark.PRESENT
    np.testing.assert_array_equal(labels, read_stored(tmp_path, entry)[..., 0] % 4)


def whole_series(
    folder: Path, write_dicom: WriteDicom, plane: str = "PL"
) -> tuple[np.ndarray, list[Dataset]]:
    """`series` with what highdicom asks of the images that a segmentation is of."""
    stored = series(folder, write_dicom, plane)
    datasets = []
    for path in sorted(folder.glob("?.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.FrameOfReferenceUID, dataset.SliceThickness, dataset.SeriesNumber = "1.2.9", 3, 1
        for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
            setattr(dataset, keyword, "")
        for keyword in ("AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator"):
            setattr(dataset, keyword, "")
        dataset.save_as(path)
        datasets.append(dataset)
    return stored, datasets


def segmentation(
    path: Path,
    sources: list[Dataset],
    pixels: np.ndarray,
    names: list[str],
    kind: str = "BINARY",
    **options: Any,
) -> None:
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type="MANUAL",
        )
        for number, name in enumerate(names, start=1)
    ]
    Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid="1.2.5",
        series_number=2,
        sop_instance_uid="1.2.6",
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        **options,
    ).save_as(path)


def masks_of(folder: Path, mask: str, **keys: Any) -> tuple[np.ndarray, np.ndarray, MaskMark]:
    """Labels, the values of the image at the same pixels, and the mark, of the folder's one volume."""
    (entry,) = build_index(folder, section(columns={"mask": mask}, **keys)).entries
    labels, mark = read_masks(folder, entry)
    return labels, read_stored(folder, entry)[..., 0], mark


@pytest.mark.parametrize("plane", ["PL", "IL", "IP", "AR"])
def test_a_segmentation_lies_on_its_series(tmp_path: Path, write_dicom: WriteDicom, plane: str) -> None:
    stored, sources = whole_series(tmp_path, write_dicom, plane)
    classes = (stored % 3).astype(np.uint8)
    segmentation(tmp_path / "seg.dcm", sources, classes, ["Liver", "Tumour"], omit_empty_frames=False)
    labels, values, mark = masks_of(tmp_path, "SEG")
    np.testing.assert_array_equal(labels, values % 3)
    assert mark == MaskMark.PRESENT
    labels, values, _ = masks_of(tmp_path, "SEG/tumour")
    np.testing.assert_array_equal(labels, values % 3 == 2)
    some, values, _ = masks_of(tmp_path, "SEG", slices={"lower": 0.25, "upper": 1, "every": 2})
    np.testing.assert_array_equal(some, values % 3)
    index = build_index(tmp_path, section(columns={"mask": "SEG"}))
    assert not index.excluded


def test_frames_that_a_segmentation_leaves_out_are_empty(tmp_path: Path, write_dicom: WriteDicom) -> None:
    stored, sources = whole_series(tmp_path, write_dicom)
    classes = (stored % 2).astype(np.uint8)
    classes[[0, 2]] = 0
    segmentation(tmp_path / "seg.dcm", sources, classes, ["Liver"], omit_empty_frames=True)
    labels, values, mark = masks_of(tmp_path, "SEG")
    right = values % 2
    right[[0, 2]] = 0
    np.testing.assert_array_equal(labels, right)
    assert mark == MaskMark.PRESENT | MaskMark.PARTIAL


def test_fractions_are_cut_at_a_half(tmp_path: Path, write_dicom: WriteDicom) -> None:
    stored, sources = whole_series(tmp_path, write_dicom)
    fractions = stored / 500
    segmentation(
        tmp_path / "seg.dcm", sources, fractions, ["Liver"], "FRACTIONAL", max_fractional_value=250,
        fractional_type="PROBABILITY", omit_empty_frames=False,
    )  # fmt: skip
    labels, values, mark = masks_of(tmp_path, "SEG")
    np.testing.assert_array_equal(labels, np.rint(values / 2) / 250 >= 0.5)
    assert mark == MaskMark.PRESENT | MaskMark.PROBABLE


def test_segments_that_overlap_or_are_not_there_are_refused(tmp_path: Path, write_dicom: WriteDicom) -> None:
    _, sources = whole_series(tmp_path, write_dicom)
    both = np.ones((5, 16, 12, 2), np.uint8)
    segmentation(tmp_path / "seg.dcm", sources, both, ["Liver", "Tumour"])
    with pytest.raises(UnreadableError, match=r"has segments that overlap \(Liver, Tumour\): name one"):
        masks_of(tmp_path, "SEG")
    labels, _, _ = masks_of(tmp_path, "SEG/Tumour")
    assert labels.all()
    with pytest.raises(UnreadableError, match=r"has no segment 'Spleen' \(it has Liver, Tumour\)"):
        masks_of(tmp_path, "SEG/Spleen")


def test_which_segmentation_is_of_which_series(tmp_path: Path, write_dicom: WriteDicom) -> None:
    _, sources = whole_series(tmp_path, write_dicom)
    segmentation(tmp_path / "seg.dcm", sources, np.ones((5, 16, 12), np.uint8), ["Liver"])
    other = pydicom.dcmread(tmp_path / "seg.dcm")
    other.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.77"
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = "1.2.78"
    other.save_as(tmp_path / "seg2.dcm")
    index = build_index(tmp_path, section(columns={"mask": "SEG"}))
    assert index.entries[0].mask == "seg.dcm"
    assert [(each.reason, each.count) for each in index.excluded] == [("SEG of no series of the folder", 1)]
    other.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    other.save_as(tmp_path / "seg2.dcm")
    with pytest.raises(DataError, match=r"seg2\.dcm is of the same series as seg\.dcm"):
        build_index(tmp_path, section(columns={"mask": "SEG"}))
    assert "add columns: {mask: SEG}" in inspect_data(tmp_path).section
    # Where nobody asks for them they are left out, and nothing is refused.
    assert build_index(tmp_path, section(columns={})).entries[0].mask is None


def test_numbers_of_segments_that_differ_between_files_are_no_classes(
    tmp_path: Path, write_dicom: WriteDicom
) -> None:
    _, sources = whole_series(tmp_path, write_dicom)
    segmentation(tmp_path / "seg.dcm", sources, np.ones((5, 16, 12), np.uint8), ["Liver"])
    for path in sorted(tmp_path.glob("?.dcm")):
        other = pydicom.dcmread(path)
        other.PatientID, other.SeriesInstanceUID = "P2", "1.2.33"
        other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = f"1.2.34.{path.stem}"
        other.save_as(tmp_path / f"b{path.name}")
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    seg.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.33"
    seg.SOPInstanceUID = seg.file_meta.MediaStorageSOPInstanceUID = "1.2.79"
    seg.SegmentSequence[0].SegmentLabel = "Tumour"
    seg.save_as(tmp_path / "seg2.dcm")
    with pytest.raises(DataError, match=r"seg2\.dcm calls segment 1 'Tumour' and seg\.dcm calls it 'Liver'"):
        build_index(tmp_path, section(columns={"mask": "SEG"}))
    assert len(build_index(tmp_path, section(columns={"mask": "SEG/Liver"})).entries) == 2


def structures(path: Path, contours: dict[str, list[list[tuple[float, float, float]]]]) -> None:
    """An RTSTRUCT of closed contours in the patient's mm, by name."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", "1.2.44"
    dataset.Modality, dataset.PatientID, dataset.SeriesInstanceUID = "RTSTRUCT", "P1", "1.2.45"
    series_item, study_item, frame_item = Dataset(), Dataset(), Dataset()
    series_item.SeriesInstanceUID = "1.2.3"
    study_item.RTReferencedSeriesSequence = [series_item]
    frame_item.RTReferencedStudySequence = [study_item]
    dataset.ReferencedFrameOfReferenceSequence = [frame_item]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, rings) in enumerate(contours.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, drawn.ReferencedROINumber = number, name, number
        drawn.ContourSequence = []
        for ring in rings:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(ring)
            item.ContourData = [f"{value:g}" for point in ring for value in point]
            drawn.ContourSequence.append(item)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def box(left: float, top: float, right: float, bottom: float, z: float) -> list[tuple[float, float, float]]:
    return [(left, top, z), (right, top, z), (right, bottom, z), (left, bottom, z)]


def test_contours_mark_the_pixels_inside_of_them(tmp_path: Path, write_dicom: WriteDicom) -> None:
    """Pixel (row, column) of slice k lies at (10 + column, -20 + 2 row, 30 + 3 k) mm, by the tags of `series`."""
    stored = series(tmp_path, write_dicom)
    ring, hole = box(12.5, -15, 18.5, 3, 33), box(14.5, -11, 16.5, -7, 33)
    structures(tmp_path / "rt.dcm", {"GTV-1": [ring, hole], "Cord": [box(11.5, -19, 12.5, -17, 36)]})
    labels, values, mark = masks_of(tmp_path, "RTSTRUCT/gtv-1")
    right = np.zeros(stored.shape, bool)
    right[1, 3:12, 3:9] = True
    right[1, 5:7, 5:7] = False
    np.testing.assert_array_equal(values, stored[:, :, ::-1])
    np.testing.assert_array_equal(labels, right[:, :, ::-1])
    assert mark == MaskMark.PRESENT
    with pytest.raises(UnreadableError, match=r"has 2 structures \(it has GTV-1, Cord\): name one"):
        masks_of(tmp_path, "RTSTRUCT")
    with pytest.raises(UnreadableError, match="has no structure 'PTV'"):
        masks_of(tmp_path, "RTSTRUCT/PTV")
    with pytest.raises(UnreadableError, match="has contours in other planes than the slices"):
        masks_of(tmp_path, "RTSTRUCT/GTV-1", slices={**EVERY, "axis": 0})
