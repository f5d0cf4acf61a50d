"""Appending a line to a file so that it is on disk, or not in the file at all, when the call returns."""

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
        # Without it a power failure may undo the file's creation.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
