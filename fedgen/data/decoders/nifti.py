"""NIfTI volumes, read with nibabel and turned to RAS."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from fedgen.data.decoders.decoder import Decoder, Header, Pixels, UnreadableError
from fedgen.data.index import SliceRange

_ERRORS = (ImageFileError, OSError, EOFError, zlib.error, ValueError)


class NiftiDecoder(Decoder):
    """Slices of a 3D volume after reorientation to the closest RAS axes.

    A slice is turned by 90 degrees so that its rows run from anterior (or superior) downwards and the
    patient's left is on the left.
    """

    supported_file_endings: ClassVar[tuple[str, ...]] = (".nii", ".nii.gz")

    def header(self, path: Path, axis: int) -> Header:
        """Sizes of the slices along `axis`."""
        volume = _load(path)
        shape, zooms = volume.shape, volume.header.get_zooms()
        rest = [i for i in range(3) if i != axis]
        return Header(
            size=(int(shape[rest[1]]), int(shape[rest[0]])),
            depth=int(shape[axis]),
            axis=axis,
            spacing=(float(zooms[rest[1]]), float(zooms[rest[0]])),
        )

    def pixels(self, path: Path, slices: SliceRange | None) -> Pixels:
        """Scaled values of the slices, shape (n, H, W, 1)."""
        if slices is None:
            raise UnreadableError("is a volume but the index names no slices: index the folder again")
        volume = _load(path)
        try:
            array = np.asarray(volume.dataobj, dtype=np.float32)
        except _ERRORS as error:
            raise UnreadableError(f"cannot be decoded ({error})") from error
        chosen = np.moveaxis(array, slices.axis, 0)[slices.start : slices.stop : slices.step]
        return np.ascontiguousarray(np.rot90(chosen, axes=(1, 2)))[..., np.newaxis]


DECODER = NiftiDecoder()


def _load(path: Path) -> Any:
    try:
        volume = nib.load(path)
        if len(volume.shape) == 4 and volume.shape[3] == 1:
            volume = nib.funcs.four_to_three(volume)[0]
        if len(volume.shape) != 3:
            raise UnreadableError(
                f"has {len(volume.shape)} dimensions instead of 3: split it into 3D volumes"
            )
        return nib.as_closest_canonical(volume)
    except _ERRORS as error:
        raise UnreadableError(f"cannot be read as NIfTI ({error})") from error
