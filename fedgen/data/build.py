"""From a folder to a patient index: what a study can use of it, by its labels and sites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fedgen.data.accounts import refuse_losses
from fedgen.data.findings import DataFinding, listing, plural
from fedgen.data.folder_scan import scan_folder
from fedgen.data.index import Exclusion, IndexEntry, PatientIndex, site_name
from fedgen.data.layouts.layout import Scan
from fedgen.data.people import identity_findings
from fedgen.data.usable import usable_entries
from fedgen.errors import DataError
from fedgen.study.data import DataSection


def build_index(
    folder: Path,
    data: DataSection,
    *,
    table: Path | None = None,
    site: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PatientIndex:
    """Index the images of `folder` that the study can use.

    Args:
        folder: images with a CSV or TSV table, DICOM files, or BIDS-like NIfTI; the layout is detected.
        data: columns, modality, labels and slices.
        table: the table, where it is neither `metadata.csv` nor the only table at the folder's top.
        site: the one site all of the folder belongs to, whatever sites its files name, or none; None for a folder of
            several sites, which the files tell apart.
        progress: told (files or rows done, in all).

    Returns:
        Entries whose label is one of `data.labels`, or all where it lists none, in an order that does not
        depend on the file system.

    Raises:
        DataError: no image remains, a listed file is missing or unreadable, too many images would be left out unasked,
            a label is not listed and `data.other_labels` is refuse, or a site has one class and `data.one_class_sites`
            is refuse.
    """
    return index_of(folder, scan_folder(folder, data, table=table, site=site, progress=progress), data)


def index_of(folder: Path, result: Scan, data: DataSection) -> PatientIndex:
    """The index of a folder that was scanned; see `build_index`."""
    _refuse_problems(result)
    if result.patients_assumed:
        raise DataError(
            f"Nothing says which images of {folder} are of one patient, who is what privacy protects: list them in a "
            "metadata.csv (columns image, patient, site, label), or set data.patient_rule to image, so that each image "
            "counts as a patient and epsilon holds for an image alone, or to a regular expression that finds the "
            "patient in a file's path."
        )
    refuse_losses(result, data)
    result = _without_sites(result, data.sites.leave_out)
    entries, unlisted = _labelled(result, data)
    excluded = result.excluded + result.unasked
    entries, lost = usable_entries(entries, data)
    excluded += lost
    for value, count in unlisted.items():
        excluded[f"label {value!r} not in data.labels" if value else "no label"] += count
    if not entries:
        raise _nothing_left(folder, data, excluded)
    findings = [
        *result.findings,
        *left_out_findings(excluded),
        *identity_findings(entries),
        *_mixed(entries, data),
        *_shared(entries),
        *_one_class(entries, data),
    ]
    return PatientIndex(
        layout=result.layout,
        entries=tuple(entries),
        excluded=tuple(Exclusion(reason, excluded[reason]) for reason in sorted(excluded)),
        findings=tuple(findings),
    )


def _mixed(entries: Sequence[IndexEntry], data: DataSection) -> list[DataFinding]:
    """A word where pictures of several kinds are taken together though the study asks for none of them."""
    kinds = Counter(entry.modality for entry in entries if entry.modality)
    if len(kinds) < 2 or data.modality is not None or data.contrasts:
        return []
    what = listing(f"{kind} ({count})" for kind, count in kinds.most_common())
    sentence = (
        f"Images of {len(kinds)} kinds are taken together: {what}. To take one alone, set data.modality."
    )
    return [DataFinding("mixed_kinds", sentence, len(kinds))]


def _refuse_problems(result: Scan) -> None:
    spelled = next((f for f in result.findings if f.kind == "labels_spelled_otherwise"), None)
    if spelled is not None:
        raise DataError(spelled.sentence)
    problems = result.problems
    if not problems:
        return
    rest = f", and so it is with {plural(len(problems) - 1, 'other file')}" if len(problems) > 1 else ""
    raise DataError(
        f"{problems[0].sentence}{rest}: correct or remove them; `fedgen data inspect` lists every such file."
    )


def _without_sites(result: Scan, names: Sequence[str]) -> Scan:
    """The scan without the sites that the study leaves out.

    Raises:
        DataError: there is no such site among several.
    """
    present = {entry.site for entry in result.entries}
    unknown = [name for name in names if site_name(name) not in present]
    # A hospital's own folder is one site, whatever the study says of others.
    if unknown and len(present) > 1:
        raise DataError(
            f"data.sites.leave_out names {listing(unknown)}, which is no site of the folder "
            f"({listing(sorted(present))}): correct it."
        )
    gone = {site_name(name) for name in names} & present if len(present) > 1 else set()
    if not gone:
        return result
    kept = [entry for entry in result.entries if entry.site not in gone]
    lost = Counter(
        f"site {entry.site}, which data.sites leaves out" for entry in result.entries if entry.site in gone
    )
    return replace(result, entries=kept, excluded=result.excluded + lost)


def _labelled(result: Scan, data: DataSection) -> tuple[list[IndexEntry], Counter[str]]:
    entries: Sequence[IndexEntry] = result.entries
    if not data.labels:
        return [replace(entry, label=data.classes[0]) for entry in entries], Counter()
    if not result.labelled:
        if len(data.labels) > 1:
            raise DataError(
                f"Nothing tells the {len(data.labels)} classes apart: name their column with data.columns.label "
                f"({data.columns.label} says nothing), put a labels.csv beside DICOM files, or ask for a single class "
                "with data.labels."
            )
        entries = [replace(entry, label=data.labels[0]) for entry in entries]
    unlisted = Counter(entry.label or "" for entry in entries if entry.label not in data.labels)
    if unlisted and data.other_labels == "refuse":
        values = listing(f"{value or '(empty)'} x {count}" for value, count in unlisted.most_common())
        raise DataError(
            f"{plural(unlisted.total(), 'image has', 'images have')} a label that data.labels "
            f"({', '.join(data.labels)}) does not list: {values}; "
            "list it, or set data.other_labels to exclude."
        )
    return [entry for entry in entries if entry.label in data.labels], unlisted


def _nothing_left(folder: Path, data: DataSection, excluded: Counter[str]) -> DataError:
    why = listing(f"{count} x {reason}" for reason, count in excluded.most_common())
    wanted = f" of modality {data.modality}" if data.modality else ""
    labelled = f" with a label of data.labels ({', '.join(data.labels)})" if data.labels else ""
    return DataError(
        f"{folder} holds no usable image{wanted}{labelled}"
        + (f"; left out: {why}" if why else "")
        + f": correct data.modality{' or data.labels' if data.labels else ''}."
    )


def left_out_findings(excluded: Counter[str]) -> list[DataFinding]:
    """One finding a reason."""
    return [
        DataFinding("excluded", f"{plural(count, 'file')} left out: {reason}.", count)
        for reason, count in sorted(excluded.items())
    ]


def _shared(entries: Sequence[IndexEntry]) -> list[DataFinding]:
    sites: dict[str, set[str]] = {}
    for entry in entries:
        sites.setdefault(entry.patient, set()).add(entry.site)
    count = sum(len(seen) > 1 for seen in sites.values())
    if not count:
        return []
    what = plural(count, "patient was", "patients were")
    sentence = f"{what} seen at more than one site: their epsilon is the sum over the sites."
    return [DataFinding("patient_at_several_sites", sentence, count)]


def _one_class(entries: Sequence[IndexEntry], data: DataSection) -> list[DataFinding]:
    # A study of a single class has no other to miss.
    if len(data.classes) == 1:
        return []
    classes: dict[str, set[str | None]] = {}
    for entry in entries:
        classes.setdefault(entry.site, set()).add(entry.label)
    single = {site: next(iter(seen)) for site, seen in sorted(classes.items()) if len(seen) == 1}
    if not single:
        return []
    which = listing(f"{site} ({label})" for site, label in single.items())
    what = plural(len(single), "site holds", "sites hold")
    if data.one_class_sites == "refuse":
        raise DataError(
            f"{what} a single class: {which}; set data.one_class_sites to allow to train with it, "
            "knowing that its downstream AUROC is undefined."
        )
    sentence = f"{what} a single class, so its downstream AUROC is undefined: {which}."
    return [DataFinding("one_class_site", sentence, len(single))]
