"""Several folders as one study: each is read as it is organised, and their images are indexed together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fedgen.data.build import index_of
from fedgen.data.findings import DataFinding, listing, plural
from fedgen.data.folder_scan import scan_folder
from fedgen.data.index import IndexEntry, PatientIndex
from fedgen.data.layouts.layout import Problem, Scan
from fedgen.data.people import merged_sites
from fedgen.errors import DataError
from fedgen.study.data import DataSection


def common_folder(folders: Sequence[Path]) -> Path:
    """The folder that the files of an index of `folders` are relative to: the one, or what they have in common.

    Raises:
        DataError: one of them is or holds another, whose images would count twice.
    """
    if len(folders) == 1:
        return folders[0]
    absolute = [folder.resolve() for folder in folders]
    for number, folder in enumerate(absolute):
        for other in absolute[number + 1 :]:
            if folder.is_relative_to(other) or other.is_relative_to(folder):
                raise DataError(f"{folder} and {other} hold the same images: give each folder once.")
    return Path(os.path.commonpath(absolute))


def index_folders(
    folders: Sequence[Path], data: DataSection, progress: Callable[[int, int], None] | None = None
) -> PatientIndex:
    """The index of all images of one or more folders; its files are relative to `common_folder`.

    Args:
        folders: at least one.
        data: the study's data section, the same for all.
        progress: told (files or rows done, in all), anew for each folder.

    Raises:
        DataError: as `build_index`, or of `common_folder`.
    """
    root = common_folder(folders)
    if len(folders) == 1:
        return index_of(root, scan_folder(root, data, progress=progress), data)
    scans = [
        _below(root, folder.resolve(), scan_folder(folder, data, progress=progress)) for folder in folders
    ]
    joined = Scan("+".join(sorted({scan.layout for scan in scans})))
    for scan in scans:
        joined.entries += scan.entries
        joined.excluded += scan.excluded
        joined.unasked += scan.unasked
        joined.beside += scan.beside
        joined.seen |= scan.seen
        joined.problems += scan.problems
        joined.findings += scan.findings
        joined.patients_assumed |= scan.patients_assumed
    spelling, findings = merged_sites([entry.site for entry in joined.entries])
    joined.entries = [replace(entry, site=spelling[entry.site]) for entry in joined.entries]
    joined.findings += [*_shared_sites(scans), *findings]
    joined.entries.sort(key=lambda entry: (entry.site, entry.patient, entry.files))
    return index_of(root, joined, data)


def _below(root: Path, folder: Path, scan: Scan) -> Scan:
    """A scan with its files named from `root`."""
    prefix = folder.relative_to(root).as_posix()

    def named(path: str) -> str:
        return f"{prefix}/{path}"

    def moved(entry: IndexEntry) -> IndexEntry:
        mask = None if entry.mask is None else named(entry.mask)
        embedding = None if entry.embedding is None else named(entry.embedding)
        return replace(
            entry, files=tuple(named(file) for file in entry.files), mask=mask, embedding=embedding
        )

    return replace(
        scan,
        entries=[moved(entry) for entry in scan.entries],
        seen={named(path) for path in scan.seen},
        problems=[Problem(named(each.path), each.reason, each.where) for each in scan.problems],
    )


def _shared_sites(scans: Sequence[Scan]) -> list[DataFinding]:
    sites = [{entry.site for entry in scan.entries} for scan in scans]
    shared = sorted(site for site in set.union(*sites) if sum(site in each for each in sites) > 1)
    if not shared:
        return []
    what = plural(len(shared), "site is", "sites are")
    sentence = f"{what} in several of the folders, whose images are taken together: {listing(shared)}."
    return [DataFinding("site_in_several_folders", sentence, len(shared))]
