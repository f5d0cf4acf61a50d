"""NRRD, with its pixels in the same file or beside it (G. Kindlmann, "Definition of NRRD File Format")."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.pixel_block import PixelBlock, beside, header_text, numbers, whole_numbers
from fedgen.data.decoders.volume import Volume, VolumeDecoder, arranged

_TYPES = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
_DTYPES = {name: code for code, names in _TYPES.items() for name in names.split("|")}
_ENCODINGS = {
    "raw": "raw", "txt": "text", "text": "text", "ascii": "text", "gz": "gzip", "gzip": "gzip", "bz2": "bzip2",
    "bzip2": "bzip2",
}  # fmt: skip
#: Signs that turn the axes of a space to right, anterior, superior.
_SPACES = {"ras": (1, 1, 1), "las": (-1, 1, 1), "lps": (-1, -1, 1)}
_LONG = {"right-anterior-superior": "ras", "left-anterior-superior": "las", "left-posterior-superior": "lps"}
_VECTOR = re.compile(r"none|\(([^()]*)\)", re.IGNORECASE)
#: Kinds of an axis that lies in space.
_DOMAINS = ("domain", "space", "???", "none")


class NrrdDecoder(VolumeDecoder):
    """Scalar and 8-bit RGB images of two or three axes in space, and one of times or the like."""

    supported_file_endings: ClassVar[tuple[str, ...]] = (".nrrd", ".nhdr")

    def recognises(self, path: Path) -> bool:
        """The letters NRRD."""
        with path.open("rb") as file:
            return file.read(4) == b"NRRD"

    def opened(self, path: Path) -> Volume:
        """The header, and how to read the rest."""
        content = header_text(path)
        if not content.startswith(b"NRRD"):
            raise UnreadableError("is no NRRD file: its first letters are others")
        fields, length = _fields(content)
        sizes = whole_numbers(fields.get("sizes", ""), "size")
        if (
            whole_numbers(fields.get("dimension", ""), "dimension") != (len(sizes),)
            or not 2 <= len(sizes) <= 4
        ):
            raise UnreadableError(f"has {len(sizes)} sizes, which is not one for each of 2 to 4 dimensions")
        if min(sizes) < 1:
            raise UnreadableError(f"claims a size of {' x '.join(map(str, sizes))}, which is none")
        named = fields.get("datafile", "")
        companions = beside(path, named) if named else ()
        block = PixelBlock(
            path.parent / companions[0] if companions else path,
            _offset(fields, 0 if companions else length),
            _one_of(_ENCODINGS, fields.get("encoding", ""), "encoding"),
            _dtype(fields),
            whole_numbers(fields.get("lineskip", "0"), "line skip")[0],
        )
        directions, spatial = _axes(fields, sizes)
        space = fields.get("space", "").lower().removesuffix("-time")
        known = len(spatial) == 3 and _LONG.get(space, space) in _SPACES and "spacedirections" in fields
        signs = np.array(_SPACES.get(_LONG.get(space, space), _SPACES["lps"]), np.float64)
        affine = np.eye(4)
        if len(spatial) == 2:
            affine = np.diag([*np.linalg.norm(directions, axis=1)[:2] * (1, -1), 1.0, 1.0])
        else:
            affine[:3, :3] = signs[:, np.newaxis] * directions.T
            origin = _vectors(fields["spaceorigin"])[:1] if "spaceorigin" in fields else []
            affine[:3, 3] = (
                signs * origin[0][:3] if origin and origin[0] is not None and len(origin[0]) >= 3 else 0
            )
        return arranged(block, sizes, spatial, affine, known, companions)


DECODER = NrrdDecoder()


def _fields(content: bytes) -> tuple[Mapping[str, str], int]:
    """Fields by name in lower case without spaces, and the length of the header."""
    fields: dict[str, str] = {}
    at = 0
    for line in content.splitlines(keepends=True):
        at += len(line)
        text = line.decode("latin-1").rstrip("\r\n")
        if not text:
            return fields, at
        key, separator, value = text.partition(":")
        if separator and not text.startswith("#") and not value.startswith("="):
            fields[key.strip().lower().replace(" ", "")] = value.strip()
    # Of a header in a file of its own nothing follows.
    return fields, at


def _offset(fields: Mapping[str, str], length: int) -> int:
    skip = whole_numbers(fields.get("byteskip", "0"), "byte skip")
    return -1 if skip[:1] == (-1,) else length + max(0, *skip)


def _one_of(known: Mapping[str, str], word: str, what: str) -> str:
    found = known.get(word.lower())
    if found is None:
        raise UnreadableError(f"has the {what} {word[:40]!r}, which is not read: save it as raw or gzip")
    return found


def _dtype(fields: Mapping[str, str]) -> np.dtype[np.generic]:
    word = fields.get("type", "").lower()
    if word not in _DTYPES:
        raise UnreadableError(
            f"has the type {word[:40]!r}, which is not read: save it as whole or floating numbers"
        )
    return np.dtype(_DTYPES[word]).newbyteorder(">" if fields.get("endian", "").lower() == "big" else "<")


def _vectors(text: str) -> list[NDArray[np.float64] | None]:
    """Vectors in parentheses, None where an axis has none."""
    found: list[NDArray[np.float64] | None] = []
    for match in _VECTOR.finditer(text):
        found.append(None if match.group(1) is None else np.array(numbers(match.group(1), "direction")))
    return found


def _axes(fields: Mapping[str, str], sizes: tuple[int, ...]) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """(3, 3) directions of the axes that lie in space, a row each, and the numbers of those axes."""
    vectors = _vectors(fields.get("spacedirections", ""))
    if vectors:
        if len(vectors) != len(sizes):
            raise UnreadableError(f"has {len(vectors)} space directions for {len(sizes)} axes")
        spatial = tuple(number for number, vector in enumerate(vectors) if vector is not None)
        rows = [vector for vector in vectors if vector is not None]
        if len(rows) == 4 and all(len(row) == 4 for row in rows):
            # ITK writes a series of volumes as one of four axes in a space of four.
            spatial, rows = spatial[:3], [row[:3] for row in rows[:3]]
    else:
        kinds = fields.get("kinds", "").split()
        if len(kinds) != len(sizes):
            kinds = ["domain"] * len(sizes)
        spatial = tuple(n for n, kind in enumerate(kinds) if kind.lower() in _DOMAINS)[:3]
        spacings = [_spacing(word) for word in fields.get("spacings", "").split()]
        if len(spacings) != len(sizes):
            spacings = [1.0] * len(sizes)
        rows = [np.eye(3)[place] * spacings[number] for place, number in enumerate(spatial)]
    if len(spatial) not in (2, 3) or any(len(row) not in (2, 3) for row in rows):
        raise UnreadableError(f"has {len(spatial)} axes in space, where two or three are expected")
    directions = np.eye(3)
    for place, row in enumerate(rows):
        directions[place] = [*row, 0.0][:3]
    return directions, spatial


def _spacing(word: str) -> float:
    try:
        value = abs(float(word))
    except ValueError:
        return 1.0
    return value if math.isfinite(value) and value > 0 else 1.0
