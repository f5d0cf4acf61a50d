"""The door that every file passes: whatever a library raises becomes one reason, and no size is believed unseen.

A library that meets a damaged file raises whatever its deepest layer happened to raise. Nothing but `UnreadableError`
leaves a decoder, so that one bad file among ten thousand is named and the others are read.
"""

from __future__ import annotations

import functools
import io
import math
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from fedgen.errors import FedgenError

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

#: No picture of a patient has more values: 4 GiB once they are float32.
MOST_VALUES = 2**30
#: So many are read without asking how many bytes the file has.
UNASKED_VALUES = 2**24
#: Of one byte: deflate makes 1032 bytes of one, and a byte holds eight values of one bit.
VALUES_A_BYTE = 8 * 1032
_LONGEST = 160
#: Bytes that are decompressed at once.
_STEP = 2**20


class UnreadableError(Exception):
    """A file cannot be decoded; the text says why, and the caller says which file."""


@contextmanager
def guard(what: str = "cannot be read") -> Iterator[None]:
    """Turn whatever is raised inside into an UnreadableError of the form "WHAT (reason)".

    Raises:
        UnreadableError: anything that is an `Exception` was raised, `MemoryError` and `RecursionError` too.
    """
    try:
        yield
    except (UnreadableError, FedgenError):
        raise
    except Exception as error:
        raise UnreadableError(f"{what} ({one_line(error)})") from error


def guarded(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """A function of which nothing but UnreadableError comes out: see `guard`."""

    @functools.wraps(function)
    def inside(*given: _Given.args, **named: _Given.kwargs) -> _Result:
        with guard():
            return function(*given, **named)

    return inside


def require_file(path: Path) -> None:
    """Refuse what is no file before it is opened: a pipe would wait for a writer for ever.

    Raises:
        UnreadableError: absent, a folder, a pipe, a socket or a device.
    """
    with guard():
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UnreadableError("is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise UnreadableError("is a pipe, a socket or a device, not a file")


def is_file(path: Path) -> bool:
    """Whether there is a regular file; not so of a name that no file can have, of which Python raises instead."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Whether there is a file, folder or anything else of this name; see `is_file`."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def require_plausible(path: Path, *shape: int) -> None:
    """Refuse sizes that a damaged or made-up header claims, before memory is taken for them.

    Args:
        path: the file, whose own size bounds what can be in it.
        shape: values along each axis, colours and frames among them.

    Raises:
        UnreadableError: a side is not positive, or there are more values than the file, or any picture, can hold.
    """
    sides = " x ".join(str(side) for side in shape)
    if min(shape) < 1:
        raise UnreadableError(f"claims a size of {sides}, which is none")
    values = math.prod(shape)
    if values > MOST_VALUES:
        raise UnreadableError(f"claims {sides} values, more than a picture has (at most {MOST_VALUES})")
    if values > UNASKED_VALUES:
        size = path.stat().st_size
        if values > size * VALUES_A_BYTE:
            raise UnreadableError(f"claims {sides} values, more than can be in a file of {size} bytes")


class BoundedFile(io.BufferedReader):
    """A file of which no more is read than it has.

    Python takes memory for as many bytes as are asked for before it reads them, and libraries ask for as many as a
    damaged length says.
    """

    def __init__(self, path: Path) -> None:
        """Open a regular file for reading."""
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes, and no memory for those that are not there."""
        if size is not None and size > 0:
            size = max(0, min(size, self._size - self.tell()))
        return super().read(size)


def require_inflatable(compressed: Iterable[bytes]) -> None:
    """Refuse a raw deflate stream that becomes larger than any picture, without keeping what it becomes.

    Raises:
        UnreadableError: it does.
        zlib.error: it is damaged.
    """
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    for chunk in compressed:
        while chunk:
            total += len(inflate.decompress(chunk, _STEP))
            chunk = inflate.unconsumed_tail
            if total > 4 * MOST_VALUES:
                raise UnreadableError("becomes larger than any picture when it is decompressed")


def one_line(error: BaseException) -> str:
    """The reason in a library's own words: short, on one line, without the path that the caller names already."""
    if isinstance(error, MemoryError):
        return "more memory than there is would be needed"
    if isinstance(error, RecursionError):
        return "its parts are nested without end"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = text.strip("'\" \t\r\n").splitlines()
    first = "".join(letter if letter.isprintable() else "?" for letter in lines[0]) if lines else ""
    return (first if len(first) <= _LONGEST else first[:_LONGEST] + "...") or type(error).__name__
