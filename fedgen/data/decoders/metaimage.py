"""MetaImage (ITK's .mha, and .mhd with its pixels beside it)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.pixel_block import PixelBlock, beside, header_text, numbers, whole_numbers
from fedgen.data.decoders.volume import Volume, VolumeDecoder, arranged

_DTYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
#: ITK's axes grow to the left, to posterior and to superior.
_SIGNS = np.array([-1.0, -1.0, 1.0])


class MetaImageDecoder(VolumeDecoder):
    """Scalar and 8-bit RGB images of two to four dimensions."""

    supported_file_endings: ClassVar[tuple[str, ...]] = (".mha", ".mhd")

    def opened(self, path: Path) -> Volume:
        """The header, and how to read the rest."""
        fields, length = _fields(header_text(path))
        sizes = whole_numbers(fields.get("dimsize", ""), "DimSize")
        n = len(sizes)
        if whole_numbers(fields.get("ndims", ""), "NDims") != (n,) or not 2 <= n <= 4:
            raise UnreadableError(f"has {n} sizes, which is not one for each of 2 to 4 dimensions")
        if min(sizes) < 1:
            raise UnreadableError(f"claims a size of {' x '.join(map(str, sizes))}, which is none")
        named = fields.get("elementdatafile", "")
        if not named:
            raise UnreadableError("names no ElementDataFile, so it is no MetaImage or is damaged")
        companions = () if named.upper() == "LOCAL" else beside(path, named)
        kind = fields.get("elementtype", "")
        if kind.upper() not in _DTYPES:
            raise UnreadableError(f"has the ElementType {kind[:40]!r}, which is not read: save it as numbers")
        big = _true(fields, "elementbyteordermsb") or _true(fields, "binarydatabyteordermsb")
        skip = whole_numbers(fields.get("headersize", "0"), "HeaderSize")[:1]
        binary = _true(fields, "binarydata") or "binarydata" not in fields
        encoding = "text" if not binary else "zlib" if _true(fields, "compresseddata") else "raw"
        block = PixelBlock(
            path.parent / companions[0] if companions else path,
            (-1 if skip == (-1,) else max(0, *skip)) if companions else length,
            encoding,
            np.dtype(_DTYPES[kind.upper()]).newbyteorder(">" if big else "<"),
        )
        channels = whole_numbers(fields.get("elementnumberofchannels", "1"), "ElementNumberOfChannels")[:1]
        if not channels or channels[0] < 1:
            raise UnreadableError("has an ElementNumberOfChannels below one")
        if channels != (1,):
            sizes = (channels[0], *sizes)
        spatial = tuple(range(len(sizes) - n, min(len(sizes), len(sizes) - n + 3)))
        spacing = np.array(_of(fields, ("elementspacing", "elementsize"), [1.0] * n))
        matrix = np.array(
            _of(fields, ("transformmatrix", "orientation", "rotation"), np.eye(n).ravel().tolist())
        )
        origin = np.array(_of(fields, ("offset", "position", "origin"), [0.0] * n))
        known = n > 2 and any(key in fields for key in ("transformmatrix", "orientation", "rotation"))
        if n == 2:
            affine = np.diag([*spacing * (1, -1), 1.0, 1.0])
        else:
            # A row of the matrix is the direction of an axis.
            affine = np.eye(4)
            affine[:3, :3] = _SIGNS[:, np.newaxis] * (matrix.reshape(n, n).T * spacing)[:3, :3]
            affine[:3, 3] = _SIGNS * origin[:3]
        return arranged(block, sizes, spatial, affine, known, companions)


DECODER = MetaImageDecoder()


def _fields(content: bytes) -> tuple[Mapping[str, str], int]:
    """Fields by name in lower case, and the length of the header, whose last line names the pixels."""
    fields: dict[str, str] = {}
    at = 0
    for line in content.splitlines(keepends=True):
        at += len(line)
        key, separator, value = line.decode("latin-1").partition("=")
        if separator:
            fields.setdefault(key.strip().lower(), value.strip())
        if key.strip().lower() == "elementdatafile":
            break
    return fields, at


def _true(fields: Mapping[str, str], key: str) -> bool:
    return fields.get(key, "")[:1].upper() in ("T", "1", "Y")


def _of(fields: Mapping[str, str], keys: tuple[str, ...], otherwise: list[float]) -> list[float]:
    """The numbers of the first field that is there."""
    for key in keys:
        if key in fields:
            found = list(numbers(fields[key], key))
            if len(found) != len(otherwise):
                raise UnreadableError(f"has {len(found)} numbers of {key} instead of {len(otherwise)}")
            return found
    return otherwise
