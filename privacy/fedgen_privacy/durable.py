"""Lines and files that are on disk, or not there at all, when the call returns."""

from __future__ import annotations

import os
from pathlib import Path


def append_line(path: Path, line: bytes) -> None:
    """Append `line` and its end to `path`, created where absent, and force both to disk.

    Raises:
        OSError: it could not be written; the file is then as before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    created = not path.exists()
    length = 0 if created else path.stat().st_size
    try:
        with path.open("ab") as handle:
            handle.write(line + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
    except OSError:
        # What reached the file was never announced; left there, it would spoil the next line.
        if path.exists():
            os.truncate(path, length)
        raise
    if created:
        _sync_folder(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` into `path` so that after a crash at any point it holds the old content or the new, on disk.

    For one writer at a time: the caller holds a lock.

    Raises:
        OSError: it could not be written; the file is then as before, or new.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # Without it a power failure may undo a file's creation or renaming.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
