"""DICOM files as scanners, exports and mistakes make them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

WriteDicom = Callable[..., Dataset]
#: Direction of each side in DICOM's coordinates, LPS.
LPS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


def _write(
    path: Path,
    pixels: np.ndarray | None = None,
    *,
    syntax: UID = ExplicitVRLittleEndian,
    change: Callable[[Dataset], object] = lambda dataset: None,
    plane: str = "",
    position: tuple[float, float, float] | None = None,
    **tags: Any,
) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    dataset.StudyInstanceUID = dataset.SeriesInstanceUID = "1.2.3"
    dataset.Modality, dataset.PatientID, dataset.InstitutionName, dataset.InstanceNumber = (
        "CT",
        "P1",
        "North",
        1,
    )
    if pixels is not None:
        colour = pixels.ndim > 2 and pixels.shape[-1] == 3
        frames = pixels.shape[:-3] if colour else pixels.shape[:-2]
        if frames:
            dataset.NumberOfFrames = frames[0]
        dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = (
            (3, "RGB") if colour else (1, "MONOCHROME2")
        )
        if colour:
            dataset.PlanarConfiguration = 0
        dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        little = pixels.astype(pixels.dtype.newbyteorder("<" if syntax.is_little_endian else ">"))
        dataset.PixelData = little.tobytes() + b"\0" * (pixels.nbytes % 2)
        dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    if plane:
        dataset.ImageOrientationPatient = [*LPS[plane[1]], *LPS[plane[0]]]
    if position is not None:
        dataset.ImagePositionPatient = list(position)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    if pixels is not None:
        dataset.HighBit = tags.get("HighBit", dataset.BitsStored - 1)
    change(dataset)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(
        path,
        dataset,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        enforce_file_format=True,
    )
    return dataset


@pytest.fixture
def write_dicom() -> WriteDicom:
    """write_dicom(path, pixels, plane="PL", position=..., change=..., KEYWORD=...) writes one object."""
    return _write
