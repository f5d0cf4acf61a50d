"""Writing a site's files: whole or not at all, and a sentence where it fails."""

from __future__ import annotations

import errno
from pathlib import Path

from fedgen.errors import DataError
from fedgen.run.directory import write_atomic


def write(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a crash leaves the old file or the new one.

    Raises:
        DataError: the disk is full or the folder is not writable.
    """
    try:
        write_atomic(path, content)
    except DataError as error:
        if isinstance(error.__cause__, OSError):
            raise unwritable(path, error.__cause__) from error
        raise


def unwritable(path: Path, error: OSError) -> DataError:
    """The one sentence for a file of the site that could not be written."""
    if error.errno == errno.ENOSPC:
        return DataError(f"The disk is full while writing {path}: free some space and try again.")
    return DataError(
        f"Cannot write {path} ({error.strerror}): give this user the right to, or name another folder with --folder."
    )


def unreadable(path: Path, error: OSError) -> DataError:
    """The one sentence for a file of the site that is there and cannot be read."""
    return DataError(
        f"Cannot read {path} ({error.strerror}): give this user the right to, or name another folder with --folder."
    )
