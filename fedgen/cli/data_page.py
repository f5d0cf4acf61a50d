"""The page that `fedgen data inspect` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from fedgen.data.findings import DataFinding, listing, plural
from fedgen.data.inspect.phi import PhiReport
from fedgen.data.inspect.report import Image2D, Inspection

#: Lines of a list of files or groups that a person reads.
_MOST_LINES = 20
_MOST_SERIES = 12
_MOST_GROUPS = 8


def print_page(console: Console, report: Inspection, folder: str) -> None:
    """What the folder holds, what is odd, and the section of a study that would use it."""
    if report.layout:
        source = f"{report.layout}, {report.table}" if report.table else report.layout
        console.print(
            f"{folder} ({source}): {plural(report.patients, 'patient')}, {plural(report.images, 'image')} at "
            f"{plural(len(report.sites), 'site')}",
            markup=False,
            soft_wrap=True,
        )
        console.print(_site_table(report))
        if any(each.modality or each.series for each in report.series):
            console.print(_series_table(report))
        console.print(_image_table(report))
        _print_labels(console, report)
        _print_duplicates(console, "Equal images of different patients", report.shared_between_patients)
        _print_duplicates(console, "Nearly equal images of different patients", report.near_duplicates)
    if report.unreadable:
        console.print(f"[bold]Files that cannot be used[/bold] ({len(report.unreadable)})")
        for problem in report.unreadable[:_MOST_LINES]:
            console.print(f"  {problem.sentence}", markup=False, soft_wrap=True)
        if len(report.unreadable) > _MOST_LINES:
            console.print(
                f"  and {len(report.unreadable) - _MOST_LINES} more; --json lists all.", markup=False
            )
    if report.beside:
        what = listing((f"{kind} ({count})" for kind, count in report.beside.items()), _MOST_LINES)
        console.print(f"Beside them: {what}.", markup=False, soft_wrap=True)
    print_findings(console, report.findings)
    if report.section:
        console.print("\n[bold]The data section of a study file for this folder[/bold]\n")
        console.print(report.section, markup=False, highlight=False, soft_wrap=True, end="")
    if report.section_note:
        console.print(f"\nIt does not work yet: {report.section_note}", markup=False, soft_wrap=True)


def print_findings(console: Console, findings: Sequence[DataFinding]) -> None:
    """One line a finding."""
    for finding in findings:
        console.print(f"- {finding.sentence}", markup=False, soft_wrap=True)


def _site_table(report: Inspection) -> Table:
    table = Table("site", "patients", "images", "labels", title="Sites")
    for site in report.sites:
        labels = listing(f"{label or '(none)'} {count}" for label, count in site.labels.items())
        table.add_row(site.site, str(site.patients), str(site.images), labels)
    return table


def _series_table(report: Inspection) -> Table:
    table = Table("modality", "series", "patients", "files", "images", title="Series")
    for each in report.series[:_MOST_SERIES]:
        numbers = (str(each.patients), str(each.files), str(each.images))
        table.add_row(each.modality or "(none)", each.series or "(none)", *numbers)
    if len(report.series) > _MOST_SERIES:
        table.add_row(f"and {len(report.series) - _MOST_SERIES} more", "", "", "", "")
    return table


def _image_table(report: Inspection) -> Table:
    table = Table("", "", title="Images", show_header=False)
    for name, counts in (
        ("sizes", report.sizes),
        ("spacing, mm", report.spacings),
        ("orientation", report.orientations),
        ("image type", report.image_types),
        ("colour", report.colours),
        ("masks", report.masks),
    ):
        if counts:
            table.add_row(name, _counted(counts))
    if report.intensity is not None:
        low, least, most, high = report.intensity.values()
        values = f"{low:g} to {high:g}, most of them {least:g} to {most:g} (percentiles 1 and 99)"
        table.add_row("stored values", values)
    return table


def _counted(counts: Mapping[str, int]) -> str:
    return listing((f"{name} ({count})" for name, count in counts.items()), 8)


def _print_labels(console: Console, report: Inspection) -> None:
    if not report.labels:
        return
    table = Table("column", "rows of each value", title="Labels that a study could use")
    for each in report.labels[:_MOST_LINES]:
        table.add_row(each.column, _counted(each.values))
    console.print(table)


def _print_duplicates(console: Console, title: str, groups: Sequence[Sequence[Image2D]]) -> None:
    if not groups:
        return
    table = Table("patients", "files", title=f"{title} ({len(groups)})")
    for group in groups[:_MOST_GROUPS]:
        files = (image.path if image.slice is None else f"{image.path} ({image.slice})" for image in group)
        table.add_row(listing(sorted({image.patient for image in group})), listing(files))
    if len(groups) > _MOST_GROUPS:
        table.add_row(f"and {len(groups) - _MOST_GROUPS} more (--json)", "")
    console.print(table)


def print_phi(console: Console, report: PhiReport, folder: str) -> None:
    """What could tell who a patient is, with numbers of files and no value."""
    console.print(
        f"{folder}: {plural(report.files, 'file')} looked at, {report.dicom} of them DICOM. No value is shown.",
        markup=False,
        soft_wrap=True,
    )
    if report.attributes:
        table = Table(
            "gives away", "attributes, and files in which they are filled", title="DICOM attributes (PS3.15)"
        )
        for kind, counts in report.attributes.items():
            table.add_row(kind, _all_counted(counts))
        console.print(table)
    lines = [
        f"PatientIdentityRemoved says YES in {report.said_removed} of {report.dicom} DICOM files."
    ] * bool(report.dicom)
    lines += [
        f"Text in the picture: {what}: {plural(n, 'file')}." for what, n in report.text_in_picture.items()
    ]
    lines += [f"{place}: filled in {plural(n, 'file')}." for place, n in report.metadata.items()]
    lines += [f"Column of a table that may tell: {column}." for column in report.columns]
    if report.named_by_patient:
        lines.append(
            f"{plural(report.named_by_patient, 'file')} or their folders are named after the patient."
        )
    if report.text is not None:
        text = report.text
        where = f"{plural(text.pictures, 'picture')} of {plural(text.files, 'file')} searched for text"
        lines.append(
            f"{where}: suspected in {_files(text.suspected)}; {plural(text.left, 'file')} not searched."
        )
    if report.faces:
        lines.append(f"Volumes: {_counted(report.faces)}.")
    if report.face_files:
        lines.append(
            f"A face is suspected in {_files(report.face_files)}: take it off, or leave the brain alone."
        )
    if report.hidden:
        lines.append(f"{plural(report.hidden, 'hidden file')} (names that begin with a dot) not looked at.")
    if report.unreadable:
        lines.append(f"{plural(report.unreadable, 'file')} could not be looked into.")
    for line in (*lines, *report.not_checked):
        console.print(f"- {line}", markup=False, soft_wrap=True)


def _files(paths: Sequence[str]) -> str:
    return plural(len(paths), "file") + (f" ({listing(paths, _MOST_GROUPS)})" if paths else "")


def _all_counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name or 'any'} ({count})" for name, count in counts.items())
