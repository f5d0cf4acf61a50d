"""A study of three sides takes volumes whole, the same ones from every source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from fedgen.data.build import build_index
from fedgen.data.decode import decode_site
from fedgen.data.geometry import site_geometry
from fedgen.data.pixels import resize, resize_mask
from fedgen.data.read import read_stored
from fedgen.errors import DataError
from fedgen.study.data import DataSection

WriteDicom = Callable[..., Dataset]
#: x to the right, y to anterior, z to superior; voxels of 1 x 1 x 2 mm.
SHAPE = (16, 24, 20)


def data(**keys: Any) -> DataSection:
    given = {"labels": ["image"], "image_size": [20, 24, 16], "one_class_sites": "allow", **keys}
    return DataSection.model_validate(given)


def anatomy() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint16)


def as_one() -> np.ndarray:
    """Depth to superior, rows to posterior, columns to the right."""
    return anatomy().transpose(2, 1, 0)[:, ::-1][np.newaxis, ..., np.newaxis]


@pytest.fixture
def folders(write_dicom: WriteDicom, tmp_path: Path) -> dict[str, Path]:
    """The same volume as an axial and a sagittal series, as NIfTI stored LPS, and as a table of it."""
    for z in range(SHAPE[2]):
        # Rows to posterior, columns to the left, so that the first pixel is the foremost of the right side.
        stored = anatomy()[::-1, ::-1, z].T
        place = (-(SHAPE[0] - 1), -(SHAPE[1] - 1), 2.0 * z)
        write_dicom(tmp_path / "axial" / f"{z}.dcm", stored, plane="PL", position=place, PixelSpacing=[1, 1])
    for x in range(SHAPE[0]):
        # Rows to the feet, columns to posterior.
        stored = anatomy()[x, ::-1, ::-1].T
        place = (-float(x), -(SHAPE[1] - 1), 2.0 * (SHAPE[2] - 1))
        write_dicom(
            tmp_path / "sagittal" / f"{x}.dcm", stored, plane="IP", position=place, PixelSpacing=[2, 1]
        )
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    affine[:3, 3] = (SHAPE[0] - 1, SHAPE[1] - 1, 0)
    (tmp_path / "nifti").mkdir()
    nib.save(nib.Nifti1Image(anatomy()[::-1, ::-1], affine), tmp_path / "nifti" / "a.nii.gz")
    (tmp_path / "nifti" / "metadata.csv").write_text("image,patient,site\na.nii.gz,P1,North\n")
    return {name: tmp_path / name for name in ("axial", "sagittal", "nifti")}


@pytest.mark.parametrize("source", ["axial", "sagittal", "nifti"])
def test_a_volume_is_one_array_whatever_its_source(folders: dict[str, Path], source: str) -> None:
    folder = folders[source]
    index = build_index(folder, data())
    (entry,) = index.entries
    assert (entry.n_images, entry.size, entry.orientation) == (1, (20, 24, 16), "SPR")
    assert entry.spacing == pytest.approx((2, 1, 1))
    np.testing.assert_array_equal(read_stored(folder, entry), as_one())
    site = decode_site(folder, index.entries, data())
    assert site.images.shape == (1, 1, 20, 24, 16)
    assert site_geometry(index.entries, data())[1] == "SPR"
    # 40 x 24 x 16 mm fill a box of 20 x 24 x 16 by the depth: half as many rows and columns.
    assert site_geometry(index.entries, data())[0] == pytest.approx((2, 2, 2))
    inside = np.argwhere(site.images[0, 0] > -1)
    assert (np.ptp(inside, axis=0) + 1 <= (20, 12, 8)).all()


def test_a_slice_is_no_volume(write_dicom: WriteDicom, tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", np.ones((20, 20), np.uint16), plane="PL", position=(0, 0, 0))
    with pytest.raises(DataError, match=r"a\.dcm is a 2D image, but data\.image_size has three sides"):
        build_index(tmp_path, data())


def test_slices_of_one_volume_have_one_label(folders: dict[str, Path]) -> None:
    rows = []
    for n, path in enumerate(sorted(folders["axial"].iterdir())):
        rows.append(f"{pydicom.dcmread(path).SOPInstanceUID},{'ab'[n % 2]}")
    (folders["axial"] / "labels.csv").write_text("\n".join(["SOPInstanceUID,label", *rows]))
    with pytest.raises(DataError, match="slices have different labels"):
        build_index(folders["axial"], data(labels=["a", "b"]))


def test_frames_without_places_are_a_volume_of_unknown_orientation(
    write_dicom: WriteDicom, tmp_path: Path
) -> None:
    frames = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    write_dicom(tmp_path / "a.dcm", frames, Modality="US")
    (entry,) = build_index(tmp_path, data()).entries
    assert (entry.size, entry.orientation, entry.spacing) == ((3, 4, 5), "", None)
    np.testing.assert_array_equal(read_stored(tmp_path, entry)[0, ..., 0], frames)


def test_a_volume_is_resampled_along_each_axis() -> None:
    plane = np.random.default_rng(1).random((12, 9, 1)).astype(np.float32)
    flat = resize(np.stack([plane] * 7), (4, 6, 5))
    expected = np.asarray(Image.fromarray(plane[..., 0]).resize((5, 6), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(flat[..., 0], np.stack([expected] * 4), rtol=1e-5)
    # Along the depth as along any other axis.
    volume = np.random.default_rng(2).random((12, 9, 7, 2)).astype(np.float32)
    turned = resize(volume.transpose(1, 0, 2, 3), (5, 6, 4)).transpose(1, 0, 2, 3)
    np.testing.assert_allclose(resize(volume, (6, 5, 4)), turned, rtol=1e-4)
    mask = (np.arange(27).reshape(3, 3, 3) % 2).astype(np.uint8)
    np.testing.assert_array_equal(resize_mask(mask, (6, 6, 6)), mask.repeat(2, 0).repeat(2, 1).repeat(2, 2))
