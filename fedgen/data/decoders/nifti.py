"""NIfTI, its .hdr/.img pairs and the older Analyze, and FreeSurfer's MGH, read with nibabel."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy as np
from nibabel.imageglobals import logger
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.guard import guard
from fedgen.data.decoders.volume import Volume, VolumeDecoder
from fedgen.data.findings import Note

# Its warnings name no file; what matters of them is refused or noted here.
logger.setLevel(logging.CRITICAL)

#: Units of a header in mm; one that names none means mm.
_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
#: Spacings that differ by more than this share contradict each other.
_CONTRADICTION = 0.01
_PIXDIM = Note(
    "guessed_geometry",
    "pixdim contradicts the affine (sform or qform) that says how the voxels lie; the affine gives the spacing.",
)
_TWO_FORMS = Note(
    "guessed_geometry",
    "sform and qform contradict each other on the sides of the patient or the spacing; the sform is taken.",
)
_COMPLEX = Note("converted", "the values are complex numbers, of which the magnitude is taken.")
_NO_SCALE = Note(
    "converted", "scl_slope or scl_inter is not a number, so the stored values are taken unscaled."
)


class NiftiDecoder(VolumeDecoder):
    """Scaled values; the magnitude of complex numbers; colour of 8 bits; the sform before the qform."""

    supported_file_endings: ClassVar[tuple[str, ...]] = (
        ".nii",
        ".nii.gz",
        ".hdr",
        ".mgh",
        ".mgz",
    )

    def recognises(self, path: Path) -> bool:
        """The second file of a .hdr/.img pair, or the letters of a NIfTI in one file."""
        name = path.name.lower()
        if name.endswith((".img", ".img.gz")):
            return path.with_name(path.name[: name.rindex(".img")] + ".hdr").is_file()
        with path.open("rb") as file:
            head = file.read(348)
        return head[344:] == b"n+1\0" or head[4:8] == b"n+2\0"

    def opened(self, path: Path) -> Volume:
        """The header, and how to read the rest."""
        with guard("cannot be read as NIfTI"):
            image = nib.load(path)
            header, shape = image.header, image.shape
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if not 2 <= len(shape) <= 4:
            raise UnreadableError(f"has {len(shape)} dimensions instead of 3: split it into 3D volumes")
        sides = (*shape[:3], 1)[:3]
        affine = _of_three_axes(np.array(image.affine, dtype=np.float64), _millimetres(header))
        return Volume(
            shape=(int(sides[0]), int(sides[1]), int(sides[2])),
            affine=affine,
            known=_known(header),
            read=lambda number: _values(image.dataobj, sides, number),
            volumes=int(shape[3]) if len(shape) == 4 else 1,
            companions=_companions(path, image),
            notes=tuple(_notes(image, sides, affine)),
        )


DECODER = NiftiDecoder()


def _known(header: Any) -> bool:
    """Whether a header says how its voxels lie: without either code it is method 1 of the NIfTI-1 standard."""
    if isinstance(header, nib.Nifti1Header):
        return bool(header["sform_code"] > 0 or header["qform_code"] > 0)
    return isinstance(header, nib.freesurfer.mghformat.MGHHeader) and bool(header["goodRASFlag"])


def _millimetres(header: Any) -> float:
    return _MILLIMETRES.get(header.get_xyzt_units()[0], 1.0) if isinstance(header, nib.Nifti1Header) else 1.0


def _of_three_axes(affine: NDArray[np.float64], millimetres: float) -> NDArray[np.float64]:
    """The affine in mm; a single slice without thickness is 1 mm thick."""
    affine[:3] *= millimetres
    if not affine[:3, 2].any():
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        affine[:3, 2] = normal / max(float(np.linalg.norm(normal)), np.finfo(np.float64).tiny)
    return affine


def _values(stored: Any, sides: tuple[int, ...], number: int) -> NDArray[Any]:
    # One volume of many is read alone where the file allows it.
    array = np.asarray(stored[..., number] if len(stored.shape) == 4 and stored.shape[3] > 1 else stored)
    if array.dtype.names is not None:
        return _colour(array, sides)
    if array.dtype.kind == "c":
        array = np.abs(array)
    return array.reshape(sides)


def _colour(array: NDArray[Any], sides: tuple[int, ...]) -> NDArray[Any]:
    """Red, green and blue of the NIfTI data types 128 and 2304."""
    names = array.dtype.names or ()
    if "A" in names and array["A"].min() < 255:
        raise UnreadableError(
            "has transparent voxels, whose value is undefined: save it without an alpha channel"
        )
    return np.stack([array[name] for name in ("R", "G", "B")], axis=-1).reshape(*sides, 3)


def _companions(path: Path, image: Any) -> tuple[str, ...]:
    """The other file of a pair."""
    names = {Path(holder.filename).name for holder in image.file_map.values() if holder.filename is not None}
    return tuple(sorted(name for name in names - {path.name} if (path.parent / name).is_file()))


def _notes(image: Any, sides: tuple[int, ...], affine: NDArray[np.float64]) -> Iterator[Note]:
    header = image.header
    if image.get_data_dtype().kind == "c":
        yield _COMPLEX
    if not isinstance(header, nib.Nifti1Header):
        return
    scale = _stated_scale(image)
    if not np.isfinite(scale).all():
        yield _NO_SCALE
    if not _known(header):
        return
    # Of a single slice no thickness need be stated.
    several = np.array(sides) > 1
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    stated = np.array(header["pixdim"][1:4], dtype=np.float64) * _millimetres(header)
    if _contradict(spacing[several], stated[several]):
        yield _PIXDIM
    sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    if sform is not None and qform is not None:
        spacings = [np.linalg.norm(form[:3, :3], axis=0) for form in (sform, qform)]
        if _contradict(*spacings) or nib.aff2axcodes(sform) != nib.aff2axcodes(qform):
            yield _TWO_FORMS


def _contradict(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool((np.abs(one - other) > _CONTRADICTION * np.abs(one)).any())


def _stated_scale(image: Any) -> NDArray[np.float64]:
    """Slope and intercept as the file states them: nibabel forgets them once it has applied them."""
    holder = image.file_map.get("header", image.file_map["image"])
    with ImageOpener(holder.filename) as file:
        header = type(image.header).from_fileobj(file, check=False)
    return np.array([header["scl_slope"], header["scl_inter"]], dtype=np.float64)
