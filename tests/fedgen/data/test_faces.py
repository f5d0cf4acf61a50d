"""Faces in head volumes: one with a face is found in any format and orientation, others cry no wolf."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from fedgen.data.inspect.faces import Face, judged
from fedgen.data.inspect.head_volumes import faces_in
from fedgen.data.inspect.phi import check_phi

Sides = tuple[float, float, float]
#: The field of view: from below the chin to above the vertex, in mm.
LOW, HIGH = (-100.0, -125.0, -150.0), (100.0, 130.0, 100.0)


def head(
    spacing: Sides = (4.0, 4.0, 4.0),
    *,
    face: bool = True,
    skin: bool = True,
    noise: float = 0.0,
    low: float = LOW[2],
) -> NDArray[np.float32]:
    """(x, y, z) of a head like a T1w picture, made of ellipsoids in mm from the middle of the brain.

    No real whole head with a face may be carried by the project.

    Args:
        spacing: mm along each axis.
        face: whether it has one; where not, what lies before and below the eyes is nothing, as defacing leaves it.
        skin: whether it has skull, scalp, face and neck, or the brain alone is left.
        noise: standard deviation of noise in both parts of the signal, of which the magnitude is kept.
        low: mm where the field of view ends below.
    """
    axes = [np.arange(a, b, step) for a, b, step in zip((*LOW[:2], low), HIGH, spacing, strict=True)]
    place = np.stack(np.meshgrid(*axes, indexing="ij"))

    def inside(middle: Sides, radii: Sides) -> NDArray[np.bool_]:
        return np.asarray(sum(((place[i] - middle[i]) / radii[i]) ** 2 for i in range(3)) <= 1)

    values = np.zeros(place.shape[1:])
    if skin:
        values[inside((0, 0, 0), (76, 96, 88))] = 90  # scalp
        values[inside((0, 0, 0), (71, 91, 83))] = 12  # skull
        values[inside((0, -30, -120), (52, 55, 60))] = 70  # neck
        values[inside((0, 18, -75), (58, 72, 72))] = 80  # face and jaw
        values[inside((0, 92, -55), (14, 18, 20))] = 85  # nose
        values[inside((0, 62, -55), (22, 20, 24))] = 3  # nasal cavity and sinuses
        values[inside((0, 66, -98), (20, 18, 6))] = 3  # mouth
        if not face:
            values[(place[1] > 20) & (place[2] < -30)] = 0
    base = (place[2] < -18 - 0.35 * (55 - place[1]).clip(0, 55)) & (place[1] > -5)
    values[inside((0, 0, 5), (66, 85, 68)) & ~base] = 75  # brain
    values[inside((0, -45, -45), (48, 38, 26))] = 68  # cerebellum
    if noise:
        source = np.random.default_rng(0)
        values = np.hypot(
            values + source.normal(0, noise, values.shape), source.normal(0, noise, values.shape)
        )
    return values.astype(np.float32)


CASES = [({}, Face.SUSPECTED), ({"face": False}, Face.NONE), ({"skin": False}, Face.NONE)]
each_case = pytest.mark.parametrize(("kind", "face"), CASES, ids=["face", "defaced", "brain"])


def judge(volume: np.ndarray, spacing: tuple[float, float, float] = (4.0, 4.0, 4.0)) -> Face:
    """Of (x, y, z)."""
    return judged(volume.transpose(2, 1, 0)[:, ::-1], (spacing[2], spacing[1], spacing[0]))


@each_case
@pytest.mark.parametrize("noise", [0.0, 10.0])
@pytest.mark.parametrize("spacing", [(4.0, 4.0, 4.0), (1.5, 1.5, 5.0), (6.0, 1.5, 1.5)], ids=str)
def test_with_and_without_a_face(
    kind: dict[str, Any], face: Face, noise: float, spacing: tuple[float, float, float]
) -> None:
    volume = head(spacing, noise=noise, **kind)
    assert judge(volume, spacing) is face
    # In Hounsfield units too: air is -1000, and what the scanner did not see below it.
    hounsfield = volume * 12 - 1000
    hounsfield[:3] = -3024
    assert judge(hounsfield, spacing) is face


@each_case
@pytest.mark.parametrize("degrees", [-15, 15])
def test_a_head_that_is_bent(kind: dict[str, Any], face: Face, degrees: int) -> None:
    assert judge(ndimage.rotate(head(**kind), degrees, axes=(1, 2), order=1)) is face


def test_what_is_no_whole_head_is_not_judged() -> None:
    # The field of view ends above the nose; the vertex is cut off; a trunk; a knee; nothing.
    assert judge(head(low=-45)) is Face.NOT_JUDGED
    assert judge(head()[..., :45]) is Face.NOT_JUDGED
    assert judge(head(), (8.0, 8.0, 8.0)) is Face.NOT_JUDGED
    knee = np.zeros((40, 40, 40), np.float32)
    knee[8:32, 8:32] = 100
    assert judge(knee) is Face.NOT_JUDGED
    assert judge(np.zeros((20, 20, 20), np.float32)) is Face.NOT_JUDGED
    assert judge(np.full((20, 20, 20), 7, np.float32)) is Face.NOT_JUDGED


def test_of_files_in_all_orientations(tmp_path: Path) -> None:
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = LOW
    whole = nib.Nifti1Image(head(noise=4), affine)
    stored = nib.orientations.io_orientation(affine)
    names = []
    for number, codes in enumerate(itertools.product("RL", "AP", "SI")):
        for order in ((0, 1, 2), (2, 0, 1)):
            turn = nib.orientations.ornt_transform(
                stored, nib.orientations.axcodes2ornt([codes[axis] for axis in order])
            )
            names.append(f"{number}{order[0]}.nii")
            nib.save(whole.as_reoriented(turn), tmp_path / names[-1])
    assert len(names) == 16
    found = faces_in(tmp_path, names, ())
    assert found.suspected == tuple(sorted(names))
    # What does not say how it lies is not judged; a mask and a picture are no heads.
    unknown = nib.Nifti1Image(head(), None)
    nib.save(unknown, tmp_path / "unknown.nii")
    nib.save(nib.Nifti1Image((head() > 50).astype(np.uint8), affine), tmp_path / "mask.nii")
    nib.save(nib.Nifti1Image(head()[..., 30:31], affine), tmp_path / "picture.nii")
    (tmp_path / "broken.nii").write_bytes(b"x")
    others = faces_in(tmp_path, ["unknown.nii", "mask.nii", "picture.nii", "broken.nii"], ())
    assert (others.counts, others.suspected) == ({Face.NOT_JUDGED: 2}, ())


@each_case
@pytest.mark.parametrize("upwards", [True, False])
def test_of_dicom_series(
    dicom_slice: Any, tmp_path: Path, kind: dict[str, Any], face: Face, upwards: bool
) -> None:
    volume = head(noise=4, **kind)
    for number in range(volume.shape[2]):
        place = number if upwards else volume.shape[2] - 1 - number
        # Columns to the patient's left, rows to the back.
        dicom_slice(
            tmp_path / f"{number:03d}.dcm",
            volume[::-1, ::-1, place].T,
            position=(-HIGH[0], -HIGH[1], LOW[2] + 4.0 * place),
        )
    report = check_phi(tmp_path)
    assert report.faces == {face.value: 1}
    assert len(report.face_files) == (face is Face.SUSPECTED)


@pytest.fixture
def dicom_slice(monkeypatch: pytest.MonkeyPatch) -> Any:
    """dicom_slice(path, pixels, position): one axial MR slice of 4 mm of one series."""
    monkeypatch.setitem(__import__("sys").modules, "rapidocr", None)
    series = pydicom.uid.generate_uid()

    def make(path: Path, pixels: np.ndarray, position: tuple[float, float, float]) -> None:
        dataset = pydicom.Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = pydicom.uid.MRImageStorage, pydicom.uid.generate_uid()
        dataset.StudyInstanceUID = dataset.FrameOfReferenceUID = dataset.SeriesInstanceUID = series
        dataset.Modality, dataset.PatientID, dataset.InstitutionName = "MR", "P1", "North"
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelSpacing, dataset.SliceThickness = [4.0, 4.0], 4.0
        dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], list(position)
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
            16,
            12,
            11,
            0,
        )
        dataset.PixelData = pixels.astype(np.uint16).tobytes()
        meta = pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.file_meta = meta
        dataset.save_as(path, enforce_file_format=True)

    return make
