"""NRRD and MetaImage, read with SimpleITK."""

from __future__ import annotations

import math
import re
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.guard import guard
from fedgen.data.decoders.itk_header import HEADER, require_sane_header
from fedgen.data.decoders.volume import Volume, VolumeDecoder
from fedgen.data.findings import Note

_COMPLEX = Note("converted", "the values are complex numbers, of which the magnitude is taken.")


class ItkDecoder(VolumeDecoder):
    """Scalar and 8-bit colour images of two to four dimensions; a 2D image stays as it is stored."""

    supported_file_endings: ClassVar[tuple[str, ...]] = (".nrrd", ".nhdr", ".mha", ".mhd")

    def recognises(self, path: Path) -> bool:
        """The letters NRRD; a MetaImage begins with no letters of its own."""
        with path.open("rb") as file:
            return file.read(4) == b"NRRD"

    def opened(self, path: Path) -> Volume:
        """The header, and how to read the rest."""
        with path.open("rb") as file:
            require_sane_header(file.read(HEADER))
        companions = _companions(path)
        with guard("cannot be read"):
            reader = _reader(path)
            size, spacing = reader.GetSize(), np.array(reader.GetSpacing())
            direction, origin = np.array(reader.GetDirection()), np.array(reader.GetOrigin())
        while len(size) > 3 and size[-1] == 1:
            size = size[:-1]
        if not 2 <= len(size) <= 4:
            raise UnreadableError(f"has {len(size)} dimensions instead of 3: split it into 3D volumes")
        _refuse_vectors(reader)
        sides = (*size[:3], 1)[:3]
        affine = np.diag([1.0, -1.0, 1.0, 1.0])
        if len(size) == 2:
            # Rows stay rows from the top, and columns from the left, as the file has them: it states no patient.
            affine[:2, :2] *= spacing
        else:
            n = reader.GetDimension()
            # ITK's axes grow to the left, to posterior and to superior.
            sign = np.array([-1.0, -1.0, 1.0])
            affine[:3, :3] = sign[:, np.newaxis] * (direction.reshape(n, n) * spacing)[:3, :3]
            affine[:3, 3] = sign * origin[:3]
        return Volume(
            shape=(int(sides[0]), int(sides[1]), int(sides[2])),
            affine=affine,
            known=len(size) > 2 and _states_sides(path, reader),
            read=lambda number: _values(path, sides, number),
            volumes=int(size[3]) if len(size) == 4 else 1,
            companions=companions,
            notes=(_COMPLEX,) if "complex" in _kind(reader) else (),
        )


DECODER = ItkDecoder()


def _reader(path: Path) -> Any:
    # Imported here, because it takes longer than reading most folders, which hold none of its formats.
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if path.suffix.lower() in (".nrrd", ".nhdr") else "MetaImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        # ITK's own text tells of its source files.
        raise UnreadableError("cannot be read as NRRD or MetaImage: its header is damaged") from error
    return reader


def _kind(reader: Any) -> str:
    import SimpleITK

    return str(SimpleITK.GetPixelIDValueAsString(reader.GetPixelID()))


def _refuse_vectors(reader: Any) -> None:
    count = reader.GetNumberOfComponents()
    if count > 1 and not (count == 3 and _kind(reader) == "vector of 8-bit unsigned integer"):
        raise UnreadableError(
            f"has {count} numbers a voxel ({_kind(reader)}), which is neither gray nor 8-bit RGB: save one of them"
        )


def _states_sides(path: Path, reader: Any) -> bool:
    """Whether the header says how the voxels lie in the patient; ITK itself would take the identity."""
    if path.suffix.lower() in (".nrrd", ".nhdr"):
        named = reader.HasMetaDataKey("NRRD_space")
        return named and bool(re.match("left|right", reader.GetMetaData("NRRD_space")))
    return bool({"transformmatrix", "orientation", "rotation"} & set(_fields(path)))


def _fields(path: Path) -> dict[str, str]:
    """`key: value` or `key = value` lines before the pixels, keys in lower case without spaces."""
    with path.open("rb") as file:
        text = file.read(HEADER).decode("latin-1")
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(":" if text.startswith("NRRD") else "=")
        if text.startswith("NRRD") and not line:
            break
        if separator and not line.startswith("#"):
            fields[key.strip().lower().replace(" ", "")] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    return fields


def _companions(path: Path) -> tuple[str, ...]:
    """The file of the pixels, where it is another one.

    Raises:
        UnreadableError: several files, or one that lies elsewhere.
    """
    fields = _fields(path)
    named = fields.get("elementdatafile") or fields.get("datafile") or "LOCAL"
    if named.upper() == "LOCAL":
        return ()
    if named.upper().startswith("LIST") or "%" in named:
        raise UnreadableError("names several files of pixels: save it as one file")
    inside = PurePosixPath(named.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts:
        raise UnreadableError(f"names pixels in another folder ({named}): put them beside it")
    if not (path.parent / inside).is_file():
        raise UnreadableError(f"names pixels in {named}, which does not exist: put them beside it")
    return (inside.as_posix(),)


def _values(path: Path, sides: tuple[int, ...], number: int) -> NDArray[Any]:
    import SimpleITK

    reader = _reader(path)
    size = list(reader.GetSize())
    if len(size) > 3:
        # One volume of many is read alone where the file allows it.
        reader.SetExtractIndex([0, 0, 0, number] + [0] * (len(size) - 4))
        reader.SetExtractSize([*size[:3], *[0] * (len(size) - 3)])
    try:
        array = SimpleITK.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise UnreadableError("cannot be decoded: it is damaged or cut short") from error
    if array.dtype.kind == "c":
        array = np.abs(array)
    colours = (3,) if array.size == 3 * math.prod(sides) else ()
    axes = (*range(len(sides))[::-1], *(len(sides),) * len(colours))
    return array.reshape(*sides[::-1], *colours).transpose(axes)
