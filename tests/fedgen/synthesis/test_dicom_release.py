"""A release as DICOM: valid to an independent validator, in radiological order, with the window's values and masks."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import torch
from pydicom.pixels import apply_rescale
from pydicom.uid import UID

from fedgen.data.decoders.registry import decoder_for
from fedgen.data.site_data import LabelledImages
from fedgen.errors import DataError
from fedgen.synthesis.dicom import dicom_bytes, dicom_image
from fedgen.synthesis.dicom_tags import Provenance, Storage, SyntheticPatient
from fedgen.synthesis.samples import files_sha256, read_samples, write_samples
from fedgen.synthesis.segmentation import dicom_segmentation
from fedgen.task.image_spec import ImageSpec

Problems = Callable[[Path], list[str]]
STATEMENT = "Each patient is protected by (3.00, 1e-05)-differential privacy."
NOBODY = SyntheticPatient("synthetic-7", "läsion", 8)


def about(modality: str | None = None) -> Provenance:
    return Provenance("ab" * 32, STATEMENT, modality, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def grid(
    size: tuple[int, ...] = (16, 24),
    orientation: str = "",
    spacing: tuple[float, ...] | None = None,
    channels: int = 1,
) -> ImageSpec:
    return ImageSpec(channels=channels, size=size, spacing=spacing, orientation=orientation)


def drawn(spec: ImageSpec, seed: int = 0) -> torch.Tensor:
    return torch.rand(spec.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def reread(dataset: pydicom.Dataset) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(dicom_bytes(dataset)))


PLANE = grid(orientation="PR", spacing=(1.5, 1.25))
KINDS = {
    "axial MR": (PLANE, (0.0, 255.0), "T1w", Storage.MR),
    "MR whose window has no whole numbers": (PLANE, (0.0, 1.0), "MR", Storage.SECONDARY),
    "signed MR": (PLANE, (-100.0, 1000.0), "FLAIR", Storage.MR),
    "MR of unknown place": (grid(), (0.0, 255.0), "MR", Storage.SECONDARY),
    "sagittal CT": (grid(orientation="IA", spacing=(0.7, 0.5)), (-1000.0, 400.0), "CT", Storage.CT),
    "radiograph": (grid(orientation="IL", spacing=(0.143, 0.143)), (0.0, 4095.0), "DX", Storage.DX),
    "digital radiograph of 8 bits": (
        grid(orientation="IL", spacing=(0.2, 0.1)),
        (0.0, 255.0),
        "DX",
        Storage.DX,
    ),
    "digital radiograph of unknown sides": (grid(spacing=(0.2, 0.2)), (0.0, 4095.0), "DX", Storage.SECONDARY),
    "digital radiograph of unknown size": (grid(orientation="IL"), (0.0, 4095.0), "DX", Storage.SECONDARY),
    "digital radiograph of values below 0": (
        grid(orientation="IL", spacing=(0.2, 0.2)),
        (-100.0, 4000.0),
        "DX",
        Storage.SECONDARY,
    ),
    "digital radiograph of shares": (
        grid(orientation="IL", spacing=(0.2, 0.2)),
        (0.0, 1.0),
        "DX",
        Storage.SECONDARY,
    ),
    "computed radiograph": (grid(orientation="IL", spacing=(0.143, 0.143)), (-10.0, 0.5), "CR", Storage.CR),
    "radiograph of unknown size": (grid(), (0.0, 4095.0), "CR", Storage.CR),
    "picture": (grid(), (0.0, 255.0), None, Storage.SECONDARY),
    "picture of known spacing": (grid(spacing=(1.0, 2.0)), (0.0, 255.0), None, Storage.SECONDARY),
    "colours of odd size": (grid((15, 23), channels=3), (0.0, 255.0), None, Storage.SECONDARY),
    "volume": (grid((5, 16, 24), "SPR", (3.0, 1.0, 2.0)), (-1000.0, 400.0), "CT", Storage.GRAY_FRAMES),
    "volume of unknown place": (grid((5, 16, 24)), (0.0, 255.0), None, Storage.GRAY_FRAMES),
    "volume in colours": (
        grid((5, 16, 24), "SPR", (3.0, 1.0, 2.0), channels=3),
        (0.0, 255.0),
        None,
        Storage.COLOUR_FRAMES,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_kind_is_of_its_class_and_valid(kind: str, tmp_path: Path, dicom_problems: Problems) -> None:
    spec, window, modality, storage = KINDS[kind]
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom_bytes(dicom_image(drawn(spec), spec, window, NOBODY, about(modality))))
    assert dicom_problems(path) == []
    dataset = pydicom.dcmread(path)
    assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == storage.value
    assert UID(dataset.SOPInstanceUID).is_valid
    uids = {dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.StudyInstanceUID}
    assert len(uids) == 3
    assert all(uid.startswith("2.25.") for uid in uids)


def test_the_validator_sees_what_is_wrong(tmp_path: Path, dicom_problems: Problems) -> None:
    dataset = dicom_image(drawn(PLANE), PLANE, (0.0, 255.0), NOBODY, about("MR"))
    del dataset.ScanningSequence
    dataset.RescaleSlope = "2"
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom_bytes(dataset))
    told = " ".join(dicom_problems(path))
    assert "(0018,0020) TagMissing" in told
    assert "(0028,1053) TagUnexpected" in told


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_values_of_the_window_come_back(kind: str) -> None:
    spec, window, modality, storage = KINDS[kind]
    image = drawn(spec)
    dataset = reread(dicom_image(image, spec, window, NOBODY, about(modality)))
    values = np.asarray(apply_rescale(dataset.pixel_array, dataset), np.float64)
    if spec.channels == 3:
        expected, step = np.moveaxis((image.numpy() + 1) * 127.5, 0, -1), 1.0
    else:
        expected = window[0] + (image[0].numpy().astype(np.float64) + 1) / 2 * (window[1] - window[0])
        step = (window[1] - window[0]) / 65535 if storage.has_slope else 1.0
        assert float(dataset.WindowCenter) == sum(window) / 2
        assert float(dataset.WindowWidth) == window[1] - window[0]
    if spec.orientation in ("PR", "SPR"):
        values = np.flip(values, spec.dimensions - 1)
    elif spec.orientation == "IA":
        values = np.flip(values, 1)
    np.testing.assert_allclose(values, expected, atol=0.5001 * step)


RADIOLOGICAL = {
    "PR": "PL",
    "RP": "PL",
    "AL": "PL",
    "IR": "IL",
    "LS": "IL",
    "IA": "IP",
    "PS": "IP",
    "SA": "IP",
}
LPS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


@pytest.mark.parametrize("orientation", list(RADIOLOGICAL))
def test_a_slice_lies_where_its_pixels_lie(orientation: str) -> None:
    spec = grid(orientation=orientation, spacing=(1.5, 1.25))
    image = -torch.ones(spec.shape)
    image[0, 3, 20] = 1
    dataset = reread(dicom_image(image, spec, (0.0, 255.0), NOBODY, about("MR")))
    cosines = [int(value) for value in dataset.ImageOrientationPatient]
    rows, columns = RADIOLOGICAL[orientation]
    assert (tuple(cosines[3:]), tuple(cosines[:3])) == (LPS[rows], LPS[columns])
    # Where the mark is by the tags of the file, and where it was by the letters of the image.
    row, column = np.argwhere(dataset.pixel_array == 255)[0]
    down, right = (float(side) for side in dataset.PixelSpacing)
    place = np.array([float(value) for value in dataset.ImagePositionPatient])
    place += row * down * np.array(cosines[3:]) + column * right * np.array(cosines[:3])
    expected = (3 - 7.5) * 1.5 * np.array(LPS[orientation[0]]) + (20 - 11.5) * 1.25 * np.array(
        LPS[orientation[1]]
    )
    np.testing.assert_allclose(place, expected, atol=1e-6)


def test_frames_of_a_volume_lie_where_their_pixels_lie() -> None:
    spec = grid((5, 16, 24), "SPR", (3.0, 1.0, 2.0))
    image = -torch.ones(spec.shape)
    image[0, 4, 3, 20] = 1
    dataset = reread(dicom_image(image, spec, (0.0, 255.0), NOBODY, about("CT")))
    frame, row, column = np.argwhere(dataset.pixel_array == 65535)[0]
    shared = dataset.SharedFunctionalGroupsSequence[0]
    place = np.array(
        dataset.PerFrameFunctionalGroupsSequence[frame].PlanePositionSequence[0].ImagePositionPatient
    )
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient)
    measures = shared.PixelMeasuresSequence[0]
    place = place + row * float(measures.PixelSpacing[0]) * cosines[3:]
    place = place + column * float(measures.PixelSpacing[1]) * cosines[:3]
    # S, P and R of the middle are (4 - 2) x 3 mm, (3 - 7.5) x 1 mm and (20 - 11.5) x 2 mm.
    np.testing.assert_allclose(place.astype(float), [-17.0, -4.5, 6.0], atol=1e-6)
    assert float(measures.SpacingBetweenSlices) == 3


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_study_of_a_modality_finds_its_release_by_it(kind: str) -> None:
    spec, window, modality, _ = KINDS[kind]
    dataset = dicom_image(drawn(spec), spec, window, NOBODY, about(modality))
    if modality in ("CT", "MR", "CR", "DX"):
        assert dataset.Modality == modality
    else:
        assert dataset.Modality == ("MR" if modality else "OT")


def test_a_radiograph_says_which_side_is_which_without_a_plane() -> None:
    spec = grid(orientation="IL", spacing=(0.2, 0.2))
    dataset = dicom_image(drawn(spec), spec, (0.0, 255.0), NOBODY, about("CR"))
    assert list(dataset.PatientOrientation) == ["L", "F"]
    assert [float(side) for side in dataset.ImagerPixelSpacing] == [0.2, 0.2]
    assert "ImageOrientationPatient" not in dataset
    assert "FrameOfReferenceUID" not in dataset


def test_the_file_says_that_it_is_synthetic_and_names_nobody() -> None:
    dataset = reread(dicom_image(drawn(PLANE), PLANE, (0.0, 255.0), NOBODY, about("MR")))
    assert (dataset.SyntheticData, dataset.PatientIdentityRemoved) == ("YES", "YES")
    assert list(dataset.ImageType)[:2] == ["DERIVED", "SECONDARY"]
    assert "ynthetic" in dataset.DeidentificationMethod
    assert "generative model" in dataset.DerivationDescription
    assert dataset.ContributingEquipmentSequence[0].Manufacturer == "fedgen"
    assert STATEMENT in dataset.ContributingEquipmentSequence[0].ContributionDescription
    assert STATEMENT in dataset.ImageComments
    assert "läsion" in dataset.ImageComments
    assert (dataset.PatientID, str(dataset.PatientName)) == ("synthetic-7", "Synthetic^000008")
    assert (dataset.PatientBirthDate, dataset.PatientSex) == ("", "")
    assert (dataset.StudyDate, dataset.StudyTime) == ("20260102", "030405")


def test_the_same_image_is_the_same_file_and_another_has_other_uids() -> None:
    first, again, other = (
        dicom_bytes(dicom_image(drawn(PLANE, seed), PLANE, (0.0, 255.0), NOBODY, about("MR")))
        for seed in (0, 0, 1)
    )
    assert first == again
    uids = [pydicom.dcmread(io.BytesIO(content)).StudyInstanceUID for content in (first, other)]
    assert uids[0] != uids[1]


def test_a_long_statement_is_cut_to_what_an_element_holds(tmp_path: Path, dicom_problems: Problems) -> None:
    long = Provenance("ab", "word " * 3000, "MR", datetime(2026, 1, 2, tzinfo=UTC))
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom_bytes(dicom_image(drawn(PLANE), PLANE, (0.0, 255.0), NOBODY, long)))
    assert dicom_problems(path) == []


MASKED = (
    "axial MR",
    "sagittal CT",
    "radiograph",
    "computed radiograph",
    "picture",
    "colours of odd size",
    "volume",
)


@pytest.mark.parametrize("kind", MASKED)
def test_a_mask_lies_on_its_image(kind: str, tmp_path: Path, dicom_problems: Problems) -> None:
    spec, window, modality, _ = KINDS[kind]
    inside = (drawn(spec, 3)[:1] > 0.6).to(torch.uint8)
    image = dicom_image(drawn(spec), spec, window, NOBODY, about(modality))
    segmentation = dicom_segmentation(inside, image, spec)
    path = tmp_path / "mask.dcm"
    path.write_bytes(dicom_bytes(segmentation))
    assert dicom_problems(path) == []
    again = highdicom.seg.segread(path)
    assert again.StudyInstanceUID == image.StudyInstanceUID
    assert (again.PatientID, again.SyntheticData) == ("synthetic-7", "YES")
    if "FrameOfReferenceUID" in image:
        assert again.FrameOfReferenceUID == image.FrameOfReferenceUID
    # Turned as the image was turned: an image with the mask's own values has the same pixels at the same places.
    twin = dicom_image(inside * 2.0 - 1, spec.model_copy(update={"channels": 1}), (0.0, 1.0), NOBODY, about())
    marked, expected = (
        again.pixel_array.reshape(-1, *spec.size[-2:]),
        twin.pixel_array.reshape(-1, *spec.size[-2:]),
    )
    order = np.argsort(frame_heights(again)) if spec.dimensions == 3 else [0]
    np.testing.assert_array_equal(marked[order] > 0, expected > 0)


def frame_heights(dataset: pydicom.Dataset) -> list[float]:
    """mm towards the head, of each frame."""
    frames = dataset.PerFrameFunctionalGroupsSequence
    return [float(frame.PlanePositionSequence[0].ImagePositionPatient[2]) for frame in frames]


def test_a_mask_of_a_volume_without_a_place_is_refused() -> None:
    spec = grid((5, 16, 24))
    image = dicom_image(drawn(spec), spec, (0.0, 255.0), NOBODY, about())
    with pytest.raises(DataError, match="ask for nifti"):
        dicom_segmentation(torch.zeros(1, *spec.size, dtype=torch.uint8), image, spec)


@pytest.mark.parametrize("form", ["png", "nifti", "dicom"])
def test_masks_are_listed_beside_their_images(form: str, tmp_path: Path) -> None:
    spec = grid(orientation="PR", spacing=(1.5, 1.25))
    images = torch.stack([drawn(spec, seed) for seed in range(3)]).half().float()
    masks = (images > 0.5).to(torch.uint8)
    made = LabelledImages(images, torch.tensor([0, 1, 0]), masks)
    files = write_samples(tmp_path, made, ("no", "yes"), (form,), spec, about=about("MR"))
    with (tmp_path / "labels.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert [row["image"] for row in rows] == [path.name for path in files]
    for row in rows:
        assert row["mask"] == row["image"].replace(".", "_mask.", 1)
        assert (tmp_path / row["mask"]).is_file()
    before = files_sha256(tmp_path)
    (tmp_path / rows[0]["mask"]).write_bytes(b"another mask")
    assert files_sha256(tmp_path) != before
    again = read_samples(tmp_path)
    assert again.masks is not None
    assert torch.equal(again.masks, masks)
    # Another set without masks leaves none of them behind.
    write_samples(
        tmp_path, LabelledImages(images, made.labels), ("no", "yes"), (form,), spec, about=about("MR")
    )
    assert not list(tmp_path.glob("*_mask*"))
    assert read_samples(tmp_path).masks is None


@pytest.mark.parametrize(
    ("kind", "whole"),
    [("radiograph", 0.5001), ("digital radiograph of unknown sides", 0.1), ("computed radiograph", 1e-3)],
)
def test_fedgens_own_reader_gives_the_values_back(kind: str, whole: float, tmp_path: Path) -> None:
    spec, window, modality, _ = KINDS[kind]
    image = drawn(spec)
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom_bytes(dicom_image(image, spec, window, NOBODY, about(modality))))
    values = decoder_for(path).pixels(path, None)[0, ..., 0]
    right = window[0] + (image[0].numpy() + 1) / 2 * (window[1] - window[0])
    np.testing.assert_allclose(values, right, atol=whole)
    assert decoder_for(path).header(path, 0).spacing == pytest.approx(spec.spacing)
    assert decoder_for(path).header(path, 0).orientation == spec.orientation
