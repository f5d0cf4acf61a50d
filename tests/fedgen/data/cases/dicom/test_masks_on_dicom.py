"""Masks of DICOM images: pictures drawn on them, volumes of other formats, segmentations and contours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from fedgen.data.build import build_index
from fedgen.data.masks.labels import MaskMark
from fedgen.data.masks.read import read_masks
from fedgen.data.read import read_stored
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
    for number, pixels in enumerate(stored):
        write_dicom(
            folder / f"{number}.dcm",
            pixels,
            plane=plane,
            position=(10, -20, 30 + 3.0 * number),
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
