"""`fedgen.inspect(...)` and `fedgen.verify(...)`: what a folder holds, and whether a release is what was signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedgen.data.inspect.report import Inspection
    from fedgen.release.checked import Verified


def inspect(
    folder: str | PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    modality: str | None = None,
    table: str | PathLike[str] | None = None,
    site: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Read every image of a folder, and say what it holds and what is odd, with a `data` section that would use it.

    Args:
        folder: images of any layout.
        columns: names of a table's columns by `image`, `patient`, `site` or `label`, where they are not found.
        modality: keep one modality or series, such as T1w.
        table: the table, where the folder holds several that could be it.
        site: the one site that all images are of.
        progress: told (files done, files in all).

    Raises:
        DataError: the folder cannot be read or is empty, or a table or column that was named cannot be used.
    """
    from fedgen.data.inspect.look import inspect_data

    return inspect_data(
        Path(folder),
        columns=columns,
        modality=modality,
        table=None if table is None else Path(table),
        site=site,
        progress=progress,
    )


def verify(
    release: str | PathLike[str], *, key: str | None = None, sites: Mapping[str, str] | None = None
) -> Verified:
    """Check every file, the signature, the gate and the sites' receipts of a signed release, without a network.

    What does not hold is in `wrong`; `require_right()` raises it.

    Args:
        release: its folder, or its zip archive.
        key: Ed25519 public key (64 hex digits, or a file that holds them) of whoever should have signed it.
        sites: likewise keys of sites, by name.

    Raises:
        DataError: there is no release, or a key is none.
    """
    from fedgen.release.archive import open_files
    from fedgen.release.open_release import public_key
    from fedgen.release.verify import verify as check

    keys = {name: found for name, told in (sites or {}).items() if (found := public_key(told)) is not None}
    return check(open_files(Path(release)), public_key(key), keys)
