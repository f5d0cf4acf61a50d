"""The images of a folder and everything else in it, as its layout finds them, before a study's labels are judged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from fedgen.data.accounts import account, unknown_findings
from fedgen.data.findings import DataFinding, findings_of_notes
from fedgen.data.hidden import account_hidden, is_hidden
from fedgen.data.index import IndexEntry, site_names
from fedgen.data.layouts.layout import Request, Scan
from fedgen.data.layouts.registry import layout_for
from fedgen.data.people import merged_sites
from fedgen.data.table import find_table, read_table
from fedgen.errors import DataError
from fedgen.study.data import DataSection


def scan_folder(
    folder: Path,
    data: DataSection,
    *,
    table: Path | None = None,
    site: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scan:
    """Find every image of the study's modality, whatever its label, and every file that cannot be used.

    Arguments are those of `build_index`.

    Raises:
        DataError: the folder, its layout or its table cannot be used.
    """
    files = files_of(folder)
    found = find_table(folder, table)
    return scan(Request(folder, files, data, None if found is None else read_table(found), site, progress))


def scan(request: Request) -> Scan:
    """`scan_folder` of a folder whose files and table are known.

    Raises:
        DataError: the layout or the table cannot be used.
    """
    layout = layout_for(request)
    result = layout.scan(request)
    account(request, result, layout.unused)
    account_hidden(result, hidden_files_of(request.folder))
    result.findings += [*unknown_findings(result), *findings_of_notes(result.notes)]
    if request.table is not None and request.table.note:
        sentence = f"{request.table.path.name} {request.table.note}."
        result.findings.append(DataFinding("table_reading", sentence, 1))
    if request.site is None:
        spelling, findings = merged_sites([entry.site for entry in result.entries])
        names = site_names(spelling.values())
        result.entries = [
            entry
            if names[spelling[entry.site]] == entry.site
            else replace(entry, site=names[spelling[entry.site]])
            for entry in result.entries
        ]
        result.findings += findings
    result.entries.sort(key=lambda entry: (entry.site, entry.patient, entry.files, _volume(entry)))
    return result


def _volume(entry: IndexEntry) -> int:
    return 0 if entry.slices is None else entry.slices.volume


def files_of(folder: Path) -> tuple[str, ...]:
    """Every file below `folder`, relative with forward slashes, sorted; those of `hidden_files_of` are left out.

    Raises:
        DataError: it is no folder, or a folder in it cannot be read.
    """
    found = [
        (parent.relative_to(folder) / name).as_posix()
        for parent, _, names in _open_folders(folder)
        for name in names
        if not is_hidden(name)
    ]
    return tuple(sorted(found))


def hidden_files_of(folder: Path) -> tuple[str, ...]:
    """Every file below `folder` whose own name, or that of a folder it lies in, `is_hidden`; as `files_of`.

    A hidden folder that cannot be read counts as one file: nothing in it is used.

    Raises:
        DataError: as `files_of`.
    """
    found: list[Path] = []
    for parent, folders, names in _open_folders(folder):
        found += [parent / name for name in names if is_hidden(name)]
        for top in folders:
            closed: list[OSError] = []
            for below, _, inner in os.walk(parent / top, onerror=closed.append):
                found += [Path(below) / name for name in inner]
            found += [Path(error.filename) for error in closed]
    return tuple(sorted(path.relative_to(folder).as_posix() for path in found))


def _open_folders(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each folder that is not hidden, with the names of the hidden folders in it and those of all its files."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the folder that holds the images.")
    seen: set[Path] = set()
    for parent, folders, names in os.walk(folder, onerror=_unreadable, followlinks=True):
        # Links are followed, because data folders often are links; a link to its own parent ends here.
        real = Path(parent).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        hidden = [name for name in folders if is_hidden(name)]
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield Path(parent), hidden, names


def _unreadable(error: OSError) -> None:
    raise DataError(f"Cannot read the folder {error.filename} ({error.strerror}): grant access or remove it.")
