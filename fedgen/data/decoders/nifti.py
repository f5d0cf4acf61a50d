"""NIfTI volumes, read with nibabel and turned to RAS."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from fedgen.data.decoders.decoder import Decoder, Header, Pixels, UnreadableError
from fedgen.data.decoders.guard import require_plausible
from fedgen.data.index import SliceRange
from fedgen.task.image_spec import known_spacing

#: What rows and columns of a slice grow towards, by the axis of the RAS volume that is cut.
_ORIENTATIONS = ("IA", "IR", "PR")
#: Units of a header in mm; one that names none means mm.
_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
_ERRORS = (ImageFileError, OSError, EOFError, zlib.error, ValueError)


class NiftiDecoder(Decoder):
    """Slices of a 3D volume after reorientation to the closest RAS axes.

    A slice is turned by 90 degrees, so that its rows run from anterior (or superior) downwards. Its columns grow to the
    patient's right (to anterior in a sagittal slice), unlike those of a slice that a scanner stores as DICOM.
    """

    supported_file_endings: ClassVar[tuple[str, ...]] = (".nii", ".nii.gz")

    def header(self, path: Path, axis: int) -> Header:
        """Sizes of the slices along `axis`."""
        stored = _open(path)
        volume = _canonical(stored)
        shape, zooms = volume.shape, volume.header.get_zooms()
        rest = [i for i in range(3) if i != axis]
        millimetres = _MILLIMETRES.get(stored.header.get_xyzt_units()[0], 1.0)
        return Header(
            size=(int(shape[rest[1]]), int(shape[rest[0]])),
            depth=int(shape[axis]),
            axis=axis,
            spacing=known_spacing(zooms[i] * millimetres for i in reversed(rest)),
            # Without either code the axes are arbitrary: method 1 of the NIfTI-1 standard.
            orientation=_ORIENTATIONS[axis]
            if stored.header["sform_code"] > 0 or stored.header["qform_code"] > 0
            else "",
        )

    def pixels(self, path: Path, slices: SliceRange | None) -> Pixels:
        """Scaled values of the slices, shape (n, H, W, 1)."""
        if slices is None:
            raise UnreadableError("is a volume but the index names no slices: index the folder again")
        volume = _canonical(_open(path))
        try:
            array = np.asarray(volume.dataobj, dtype=np.float32)
        except _ERRORS as error:
            raise UnreadableError(f"cannot be decoded ({error})") from error
        chosen = np.moveaxis(array, slices.axis, 0)[slices.start : slices.stop : slices.step]
        return np.ascontiguousarray(np.rot90(chosen, axes=(1, 2)))[..., np.newaxis]


DECODER = NiftiDecoder()


def _open(path: Path) -> Any:
    try:
        volume = nib.load(path)
        if len(volume.shape) == 4 and volume.shape[3] == 1:
            volume = nib.funcs.four_to_three(volume)[0]
        if len(volume.shape) != 3:
            raise UnreadableError(
                f"has {len(volume.shape)} dimensions instead of 3: split it into 3D volumes"
            )
        require_plausible(path, *volume.shape)
        return volume
    except _ERRORS as error:
        raise UnreadableError(f"cannot be read as NIfTI ({error})") from error


def _canonical(volume: Any) -> Any:
    try:
        return nib.as_closest_canonical(volume)
    except _ERRORS as error:
        raise UnreadableError(f"cannot be read as NIfTI ({error})") from error
