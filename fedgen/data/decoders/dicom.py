"""DICOM images, read with pydicom.

pydicom itself rather than MONAI's PydicomReader: the latter leaves MONOCHROME1 radiographs inverted, and
derives an affine that projection images do not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pydicom
from pydicom.misc import is_dicom
from pydicom.pixels import apply_color_lut, apply_rescale, pixel_array

from fedgen.data.decoders.decoder import Decoder, Header, Pixels, UnreadableError
from fedgen.data.decoders.guard import guard, guarded, one_line, require_file, require_plausible
from fedgen.data.index import SliceRange
from fedgen.task.image_spec import known_spacing

#: What pydicom's decoders raise for absent, damaged or unsupported pixel data.
_PIXEL_ERRORS = (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError, OSError)


class DicomDecoder(Decoder):
    """Modality values (slope and intercept applied); MONOCHROME1 is inverted so that more is brighter."""

    supported_file_endings: ClassVar[tuple[str, ...]] = (".dcm", ".dicom", ".ima")

    def recognises(self, path: Path) -> bool:
        """The letters DICM after 128 bytes."""
        try:
            return bool(is_dicom(path))
        except OSError as error:
            raise UnreadableError(f"cannot be read ({error.strerror})") from error

    def header(self, path: Path, axis: int) -> Header:
        """Rows, columns, frames and pixel spacing; `axis` has no meaning: frames are frames."""
        return dicom_header(read_tags(path, stop_before_pixels=True))

    def pixels(self, path: Path, slices: SliceRange | None) -> Pixels:
        """Modality values, shape (n, H, W, 1) or (n, H, W, 3)."""
        dataset = read_tags(path, stop_before_pixels=False)
        if "PixelData" not in dataset and "FloatPixelData" not in dataset:
            raise UnreadableError("has no pixels")
        header = dicom_header(dataset)
        require_plausible(path, header.depth or 1, *header.size)
        try:
            array = pixel_array(dataset)
            interpretation = dataset.PhotometricInterpretation
            if interpretation == "PALETTE COLOR":
                array = apply_color_lut(array, dataset)
                if array.dtype == np.uint16:
                    array = array >> 8
            elif interpretation == "MONOCHROME1":
                array = _inverted(array, dataset)
            if int(dataset.SamplesPerPixel) == 1 and interpretation != "PALETTE COLOR":
                array = np.asarray(apply_rescale(array, dataset))[..., np.newaxis]
        except _PIXEL_ERRORS as error:
            raise UnreadableError(f"has pixels that cannot be decoded ({one_line(error)})") from error
        frames = array if array.ndim == 4 else array[np.newaxis]
        if slices is not None:
            frames = frames[slices.start : slices.stop : slices.step]
        return np.ascontiguousarray(frames, dtype=np.float32)


DECODER = DicomDecoder()


def read_tags(path: Path, *, stop_before_pixels: bool) -> Any:
    """The dataset of a DICOM file.

    Raises:
        UnreadableError: not DICOM, or damaged.
    """
    require_file(path)
    with guard("cannot be read as DICOM"):
        return pydicom.dcmread(path, stop_before_pixels=stop_before_pixels)


@guarded
def dicom_header(dataset: Any) -> Header:
    """Sizes of a dataset.

    Raises:
        UnreadableError: the object has no image.
    """
    rows, columns = dataset.get("Rows"), dataset.get("Columns")
    if not rows or not columns:
        raise UnreadableError("has no pixels")
    frames = int(dataset.get("NumberOfFrames") or 1)
    spacing = _numbers(dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing"), 2)
    return Header(
        size=(int(rows), int(columns)),
        depth=frames if frames > 1 else None,
        spacing=None if spacing is None else known_spacing(spacing),
        orientation=_orientation(_numbers(dataset.get("ImageOrientationPatient"), 6)),
    )


def _numbers(value: Any, count: int) -> list[float] | None:
    """The numbers of an element, or None where it has not so many."""
    if not isinstance(value, Sequence) or len(value) != count:
        return None
    return [float(number) for number in value]


def _orientation(cosines: Sequence[float] | None) -> str:
    """Sides of the patient that rows and columns grow towards, from (0020,0037); empty where it does not tell.

    The first three numbers are the direction in which the columns of a row follow one another, the last three that of
    the rows; their axes are LPS (DICOM PS3.3, C.7.6.2.1.1). An oblique slice gets its closest axes.
    """
    if cosines is None:
        return ""
    values = np.array(cosines)
    columns, rows = values[:3], values[3:]
    across, down = int(np.abs(columns).argmax()), int(np.abs(rows).argmax())
    if not np.isfinite(values).all() or across == down or not columns[across] or not rows[down]:
        return ""
    return _side(down, rows[down]) + _side(across, columns[across])


def _side(axis: int, direction: float) -> str:
    return ("LPS" if direction > 0 else "RAI")[axis]


def _inverted(array: Any, dataset: Any) -> Any:
    # Within the stored bits: the smallest stored value is the brightest in MONOCHROME1.
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    top = -1 if signed else 2 ** int(dataset.BitsStored) - 1
    return top - array.astype(np.int32)
