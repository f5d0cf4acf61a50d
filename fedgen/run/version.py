"""The version of the form of a run's files, and the one refusal of those of another."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fedgen.errors import DataError

#: Raised whenever a reader of the last version would misread the files of this one.
VERSION: Literal[2] = 2


def foreign(path: Path, found: object) -> DataError:
    """The sentence for a file that another version of fedgen wrote.

    Args:
        path: the file.
        found: the version in it; None where it has none.
    """
    wrote = f"version {found}" if isinstance(found, int) else "a version before 2"
    return DataError(
        f"{path} has the form of {wrote} and this fedgen reads version {VERSION}: start a new run, or open this one "
        "with the fedgen that wrote it."
    )
