"""TIFF of the kinds that Pillow does not open or would cut: wide samples in either byte order, colour of 16 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import Pixels, UnreadableError
from fedgen.data.decoders.guard import require_plausible

_ORIENTATION = 274


def tiff_size(path: Path) -> tuple[int, int]:
    """Height and width of the upright image.

    Raises:
        UnreadableError: several pages, or no gray or RGB image.
    """
    with tifffile.TiffFile(path) as file:
        page = _page(file, path)
        size = int(page.imagelength), int(page.imagewidth)
        return (size[1], size[0]) if _orientation(page) > 4 else size


def tiff_values(path: Path) -> Pixels:
    """The upright values, (H, W, 1) or (H, W, 3), more is brighter.

    Raises:
        UnreadableError: as `tiff_size`, or a compression for which another library would be needed.
    """
    with tifffile.TiffFile(path) as file:
        page = _page(file, path)
        try:
            values = page.asarray()
        except (ValueError, KeyError, NotImplementedError, tifffile.TiffFileError) as error:
            raise UnreadableError(
                f"is a TIFF of {page.bitspersample} bits compressed as {page.compression.name}: save it uncompressed"
            ) from error
        if values.dtype.kind == "c":
            raise UnreadableError("holds complex numbers: save their magnitude as a file of its own")
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            values = black_is_zero(values, int(page.bitspersample))
        if page.samplesperpixel > 1 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            values = np.moveaxis(values, 0, -1)
        values = values if values.ndim == 3 else values[..., np.newaxis]
        if values.shape != (int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel)):
            raise UnreadableError("is a TIFF whose pixels are not of the size that it states: it is damaged")
        return np.asarray(turned(values, _orientation(page)), dtype=np.float32)


def black_is_zero(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """Values of which the largest was black, turned about.

    Raises:
        UnreadableError: signed or floating point values, whose black no standard states.
    """
    if values.dtype.kind != "u":
        raise UnreadableError(
            "has white at zero and signed or floating point values, so that black is not stated: "
            "save it with black at zero"
        )
    return 2**bits - 1 - values.astype(np.int64)


def turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Rows from the top and columns from the left, by the tag Orientation (TIFF 6.0, section 8)."""
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1] if orientation < 5 else values[::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1] if orientation < 5 else values[:, ::-1]
    return values.swapaxes(0, 1) if orientation > 4 else values


def _page(file: tifffile.TiffFile, path: Path) -> Any:
    if len(file.pages) != 1:
        raise UnreadableError(
            f"holds {len(file.pages)} pages, but one image a file is expected: save each as its own file"
        )
    page: Any = file.pages[0]
    require_plausible(path, page.imagelength, page.imagewidth, page.samplesperpixel)
    kinds = {
        1: (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE),
        3: (tifffile.PHOTOMETRIC.RGB,),
    }
    if page.photometric not in kinds.get(page.samplesperpixel, ()) or page.imagedepth != 1:
        raise UnreadableError(
            f"is a TIFF of kind {page.photometric.name} with {page.samplesperpixel} samples a pixel: "
            "save it as gray or RGB without transparency"
        )
    return page


def _orientation(page: Any) -> int:
    tag = page.tags.get(_ORIENTATION)
    return int(tag.value) if tag is not None and tag.value in range(2, 9) else 1
