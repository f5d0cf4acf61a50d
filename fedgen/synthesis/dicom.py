"""One synthetic image as a DICOM file that a PACS accepts, in radiological order, with the window's own values."""

from __future__ import annotations

import hashlib
import io
import uuid

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat
from torch import Tensor

from fedgen.synthesis.dicom_frames import add_pages, add_planes
from fedgen.synthesis.dicom_tags import (
    Provenance,
    Storage,
    SyntheticPatient,
    add_class,
    add_patient_and_study,
    add_series,
    add_synthetic_nature,
    located,
    modality_code,
    storage_for,
)
from fedgen.task.image_spec import OPPOSITES, ImageSpec, Spacing

#: UIDs are made of names within this one, so that the same image is the same file.
_NAMESPACE = uuid.UUID("5f3f4e0a-52a4-5a53-9d0b-6c2b3f7a1c11")
_TOP = 2**16 - 1
#: Fewer whole numbers than this in the window would lose more than an 8-bit picture does.
_LEAST_WIDTH = 255
#: Unit vectors of LPS coordinates (PS3.3, C.7.6.2.1.1).
_TOWARDS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
_HEAD_AND_FEET = {"S": "H", "I": "F"}


def dicom_image(
    image: Tensor,
    grid: ImageSpec,
    window: tuple[float, float],
    subject: SyntheticPatient,
    about: Provenance,
) -> Dataset:
    """The dataset of a (C, H, W) or (C, D, H, W) image in [-1, 1], with its file meta information.

    Where the orientation is known, rows grow to P or I and columns to L or P, as every viewer shows a slice; the middle
    of the image is the origin of its frame of reference. A reader that applies slope and intercept gets the values of
    the window back: to 1 / 65535 of it, or whole numbers where the class has no slope.

    Args:
        image: gray becomes 16 bits, RGB 8 bits a channel.
        grid: what is known of the image.
        window: stored values of -1 and +1 in a gray image (the study's `data.intensity`).
        subject: whom it shows: nobody, under this name.
        about: where it comes from.
    """
    code = modality_code(about.modality)
    whole = _whole(window)
    storage = storage_for(code, grid, whole_numbers=whole, positive=window[0] >= 0)
    dataset = Dataset()
    dataset.SOPClassUID = storage.value
    pixels, ends, spacing = radiological(_stored(dataset, image, window, storage), grid)
    _add_pixels(dataset, pixels, grid)
    _add_uids(dataset, about, subject, dataset.PixelData)
    add_patient_and_study(dataset, subject, about)
    add_series(dataset, code, subject, about)
    add_synthetic_nature(dataset, subject, about)
    add_class(dataset, storage)
    if located(grid) and spacing is not None:
        dataset.FrameOfReferenceUID = derived_uid(dataset.StudyInstanceUID, "frame of reference")
        dataset.PositionReferenceIndicator = ""
    if storage.has_plane and located(grid) and spacing is not None:
        _add_plane(dataset, ends, spacing)
    elif grid.dimensions == 3:
        _add_frames(dataset, ends, spacing if located(grid) else None)
    else:
        dataset.PatientOrientation = [_HEAD_AND_FEET.get(end, end) for end in reversed(ends)] or ""
        if spacing is not None:
            keyword = "ImagerPixelSpacing" if storage in (Storage.CR, Storage.DX) else "PixelSpacing"
            setattr(dataset, keyword, _decimals(spacing))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def dicom_bytes(dataset: Dataset) -> bytes:
    """A dataset with its file meta information as the bytes of a file."""
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _whole(window: tuple[float, float]) -> bool:
    lower, upper = window
    whole = float(lower).is_integer() and float(upper).is_integer() and upper - lower >= _LEAST_WIDTH
    return whole and (0 <= lower <= upper <= _TOP or -(2**15) <= lower <= upper < 2**15)


def _stored(
    dataset: Dataset, image: Tensor, window: tuple[float, float], storage: Storage
) -> NDArray[np.generic]:
    """(*size) of 16 bits or (*size, 3) of 8, and the tags that bring them to the window's values."""
    values = image.float().clamp(-1, 1).numpy().astype(np.float64)
    if len(values) == 3:
        return np.moveaxis(np.round((values + 1) * 127.5).astype(np.uint8), 0, -1)
    lower, upper = window
    share = (values[0] + 1) / 2
    dataset.WindowCenter = DSfloat((lower + upper) / 2, auto_format=True)
    dataset.WindowWidth = DSfloat(upper - lower, auto_format=True)
    if not storage.has_slope:
        kind = np.int16 if lower < 0 else np.uint16
        return np.round(lower + share * (upper - lower)).astype(kind)
    dataset.RescaleSlope = DSfloat((upper - lower) / _TOP, auto_format=True)
    dataset.RescaleIntercept = DSfloat(lower, auto_format=True)
    dataset.RescaleType = "HU" if storage is Storage.CT else "US"
    return np.round(share * _TOP).astype(np.uint16)


def radiological(
    pixels: NDArray[np.generic], grid: ImageSpec
) -> tuple[NDArray[np.generic], str, Spacing | None]:
    """Rows and columns as a viewer shows them, with the orientation and spacing that they then have.

    Only rows and columns are turned; the frames of a volume keep their order.
    """
    ends, spacing = grid.orientation, grid.spacing
    if not ends:
        return pixels, ends, spacing
    rows, columns = grid.dimensions - 2, grid.dimensions - 1
    # Of a slice's two axes that along the body is drawn down, else that from front to back.
    if _rank(ends[columns]) > _rank(ends[rows]):
        pixels = np.swapaxes(pixels, rows, columns)
        ends = ends[:rows] + ends[columns] + ends[rows]
        spacing = None if spacing is None else (*spacing[:rows], spacing[columns], spacing[rows])
    for axis in (rows, columns):
        if ends[axis] not in "PIL":
            pixels = np.flip(pixels, axis)
            ends = ends[:axis] + OPPOSITES[ends[axis]] + ends[axis + 1 :]
    return np.ascontiguousarray(pixels), ends, spacing


def _rank(end: str) -> int:
    return 2 if end in "IS" else 1 if end in "PA" else 0


def _add_pixels(dataset: Dataset, pixels: NDArray[np.generic], grid: ImageSpec) -> None:
    frames, rows, columns = (1, *pixels.shape)[-3:] if grid.channels == 1 else (1, *pixels.shape)[-4:-1]
    dataset.Rows, dataset.Columns = rows, columns
    dataset.SamplesPerPixel = grid.channels
    dataset.PhotometricInterpretation = "MONOCHROME2" if grid.channels == 1 else "RGB"
    if grid.channels == 3:
        dataset.PlanarConfiguration = 0
    if grid.dimensions == 3:
        dataset.NumberOfFrames = frames
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = content + bytes(len(content) % 2)
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"


def _add_uids(dataset: Dataset, about: Provenance, subject: SyntheticPatient, content: bytes) -> None:
    own = (about.study_sha256, subject.patient, hashlib.sha256(content).hexdigest())
    dataset.StudyInstanceUID = derived_uid(*own, "study")
    dataset.SeriesInstanceUID = derived_uid(*own, "series")
    dataset.SOPInstanceUID = derived_uid(*own, "image")


def derived_uid(*names: str) -> UID:
    """The UID of what has these names: always the same, and nobody else's."""
    # The root 2.25 belongs to everybody: what follows is a UUID as a number (PS3.5, section B.2).
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(names)).int}")


def _add_plane(dataset: Dataset, ends: str, spacing: Spacing) -> None:
    dataset.PixelSpacing = _decimals(spacing)
    dataset.SliceThickness = None
    dataset.ImageOrientationPatient = [*_TOWARDS[ends[1]], *_TOWARDS[ends[0]]]
    dataset.ImagePositionPatient = _position(dataset, ends, spacing)


def _add_frames(dataset: Dataset, ends: str, spacing: Spacing | None) -> None:
    frames = int(dataset.NumberOfFrames)
    if spacing is None:
        add_pages(dataset, frames)
        return
    step = spacing[0] * np.array(_TOWARDS[ends[0]])
    add_planes(
        dataset,
        cosines=[*_TOWARDS[ends[2]], *_TOWARDS[ends[1]]],
        spacing=_decimals(spacing[1:]),
        thickness=DSfloat(spacing[0], auto_format=True),
        positions=[_position(dataset, ends, spacing, (n - (frames - 1) / 2) * step) for n in range(frames)],
    )


def _position(
    dataset: Dataset, ends: str, spacing: Spacing, before: NDArray[np.float64] | float = 0.0
) -> list[DSfloat]:
    """Of the first pixel, so that the middle of the image is the origin; `before` is the way to its frame."""
    rows, columns = np.array(_TOWARDS[ends[-2]]), np.array(_TOWARDS[ends[-1]])
    place = -(dataset.Rows - 1) / 2 * spacing[-2] * rows - (dataset.Columns - 1) / 2 * spacing[-1] * columns
    return [DSfloat(float(side), auto_format=True) for side in place + before]


def _decimals(values: Spacing) -> list[DSfloat]:
    return [DSfloat(value, auto_format=True) for value in values]
