"""Files that are whole or not there: the one writer of everything but journals, and its sentences where it fails."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedgen.errors import DataError
from fedgen.run.hints import hints
from fedgen_privacy.durable import replace_file


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` so that a crash leaves either the old file or the new one, never a part.

    The file is on disk when this returns, and only its owner can read it.

    Raises:
        DataError: the disk is full or the folder is not writable.
    """
    try:
        replace_file(path, content)
    except OSError as error:
        raise unwritable(path, error) from error


def write_json(path: Path, value: Mapping[str, Any], indent: int = 2) -> None:
    """Write a JSON object atomically.

    A file's name that is not UTF-8 comes back from the JSON as Python spells it: such a byte is written as an escape.

    Raises:
        ValueError: a number in it is NaN or infinite; nothing is written.
        DataError: as `write_atomic`.
    """
    text = json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False)
    # A lone surrogate as \\udcfc is what JSON itself would write of it.
    write_atomic(path, (text + "\n").encode(errors="backslashreplace"))


def unwritable(path: Path, error: OSError) -> DataError:
    """The one sentence for a file that could not be written."""
    if error.errno == errno.ENOSPC:
        return DataError(f"The disk is full while writing {path}: free some space and {hints().again}.")
    return DataError(f"Cannot write {path} ({error.strerror}): {hints().elsewhere}.")


def unreadable(path: Path, error: OSError) -> DataError:
    """The one sentence for a file that is there and cannot be read."""
    return DataError(f"Cannot read {path} ({error.strerror}): {hints().elsewhere}.")
