"""Lines and files that are on disk, or not there at all, when the call returns."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import BinaryIO

_BLOCK = 2**16


def append_line(path: Path, line: bytes) -> None:
    """Append `line` and its end to `path`, created where absent, and force both to disk.

    A last line without its end was being written when its process died, so nobody acted on it: it is cut off first.
    For one writer at a time: the caller holds a lock.

    Raises:
        OSError: it could not be written; the file then holds the finished lines that it held before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    length = None
    try:
        with path.open("a+b") as handle:
            length = _finished(handle)
            if handle.seek(0, os.SEEK_END) > length:
                handle.truncate(length)
            handle.write(line + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
    except OSError:
        # What reached the file was never announced; left there, it would spoil the next line.
        if length is not None and path.exists():
            os.truncate(path, length)
        raise
    if length == 0:
        _sync_folder(path.parent)


def _finished(handle: BinaryIO) -> int:
    """Bytes up to the end of the last line that has one."""
    end = handle.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _BLOCK)
        handle.seek(start)
        found = handle.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` into `path` so that after a crash at any point it holds the old content or the new, on disk.

    Only its owner can read or write the file. Of writers at the same time the last one's content stays, whole.

    Raises:
        OSError: it could not be written; the file is then as before, or new.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = _write_beside(path, content)
    try:
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def new_file(path: Path, content: bytes) -> None:
    """Write `content` to a file that is not there yet, whole or not at all, on disk; only its owner can read it.

    Raises:
        FileExistsError: there is one already; it is left as it was.
        OSError: it could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = _write_beside(path, content)
    try:
        path.hardlink_to(new)
    finally:
        new.unlink()
    _sync_folder(path.parent)


def _write_beside(path: Path, content: bytes) -> Path:
    """Write `content`, on disk, to a file of a name of its own beside `path`, which then takes its place."""
    # mkstemp makes its files with mode 0600, so the content is never readable by others, not even for an instant.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return new


def _sync_folder(folder: Path) -> None:
    # Without it a power failure may undo a file's creation or renaming.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
