"""Pixels that follow, or lie beside, a header of text: as NRRD and MetaImage have them.

Both formats are read here and not with SimpleITK, which a damaged header makes fail with the whole process.
"""

from __future__ import annotations

import bz2
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import UnreadableError

#: Bytes in which the text before the pixels ends, with room for long private fields.
MOST_HEADER = 1 << 18


@dataclass(frozen=True)
class PixelBlock:
    """Where the pixels are and how they are written.

    Attributes:
        path: their file.
        offset: bytes before them; -1: they are the last bytes of the file.
        encoding: raw, text, gzip, bzip2 or zlib.
        dtype: with its byte order.
        lines: lines before them, in the file as it is.
    """

    path: Path
    offset: int
    encoding: str
    dtype: np.dtype[np.generic]
    lines: int = 0

    def read(self, count: int) -> NDArray[np.generic]:
        """The first `count` values.

        Raises:
            UnreadableError: fewer, or damaged.
        """
        size = count * self.dtype.itemsize
        with self.path.open("rb") as file:
            if self.offset < 0:
                file.seek(-size if self.encoding == "raw" else 0, 2 if self.encoding == "raw" else 0)
            else:
                file.seek(self.offset)
            for _ in range(self.lines):
                file.readline(MOST_HEADER)
            if self.encoding == "text":
                return _numbers(file.read(64 * count + 64), count, self.dtype)
            try:
                if self.encoding == "raw":
                    content = file.read(size)
                elif self.encoding == "gzip":
                    with gzip.open(file) as inner:
                        content = inner.read(size)
                elif self.encoding == "bzip2":
                    with bz2.open(file) as inner:
                        content = inner.read(size)
                else:
                    content = zlib.decompressobj().decompress(file.read(), size)
            except (OSError, EOFError, zlib.error) as error:
                raise UnreadableError(
                    "has pixels that cannot be unpacked: it is damaged or cut short"
                ) from error
        if len(content) < size:
            raise UnreadableError(
                f"has {len(content)} bytes of pixels instead of {size}: it is damaged or cut short"
            )
        return np.frombuffer(content, self.dtype, count)


def _numbers(content: bytes, count: int, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    words = content.split()[:count]
    if len(words) < count:
        raise UnreadableError(f"has {len(words)} values instead of {count}: it is damaged or cut short")
    try:
        return np.array([float(word) for word in words]).astype(dtype)
    except ValueError as error:
        raise UnreadableError("has a pixel that is no number: it is damaged") from error


def beside(path: Path, named: str) -> tuple[str, ...]:
    """The name of the file of pixels that a header names, below the header's folder.

    Raises:
        UnreadableError: several files, one that lies elsewhere, or none.
    """
    if named.upper().startswith("LIST") or "%" in named:
        raise UnreadableError("names several files of pixels: save it as one file")
    inside = PurePosixPath(named.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts:
        raise UnreadableError(f"names pixels in another folder ({named}): put them beside it")
    if not (path.parent / inside).is_file():
        raise UnreadableError(f"names pixels in {named}, which does not exist: put them beside it")
    return (inside.as_posix(),)


def header_text(path: Path) -> bytes:
    """The beginning of a file, in which its header of text is."""
    with path.open("rb") as file:
        return file.read(MOST_HEADER)


def whole_numbers(text: str, what: str) -> tuple[int, ...]:
    """The whole numbers of a field.

    Raises:
        UnreadableError: there is something else in it.
    """
    return tuple(int(value) for value in numbers(text, what) if value == int(value))


def numbers(text: str, what: str) -> tuple[float, ...]:
    """The numbers of a field.

    Raises:
        UnreadableError: there is something else in it.
    """
    try:
        found = tuple(float(word) for word in text.replace(",", " ").split())
    except ValueError:
        found = ()
    if not found or not np.isfinite(found).all() or max(abs(value) for value in found) > 1e15:
        raise UnreadableError(f"has a {what} that cannot be read ({text[:40]!r})")
    return found
