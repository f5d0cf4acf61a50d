"""The first look at a folder, which asks nothing: what it holds, what is odd, a `data` section that would use it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from fedgen.data.build import left_out_findings
from fedgen.data.duplicates import across_patients, exact_groups, near_pairs, pairs_of_groups, telling
from fedgen.data.findings import DataFinding, listing, plural
from fedgen.data.folder_scan import files_of
from fedgen.data.identity import groups_of_one_form
from fedgen.data.inspect.as_it_lies import Opened, open_folder
from fedgen.data.inspect.columns import Guess
from fedgen.data.inspect.image_types import image_types
from fedgen.data.inspect.measured import Measured, measure
from fedgen.data.inspect.report import Inspection
from fedgen.data.inspect.suggest import Suggestion, suggested
from fedgen.data.inspect.summaries import (
    UNKNOWN,
    at_several_sites,
    images_of,
    intensity_range,
    mask_counts,
    series_summaries,
    site_summaries,
    spacing_words,
    tally,
)
from fedgen.data.people import identity_findings
from fedgen.data.ties import other_label_findings
from fedgen.errors import DataError

#: Very simple images (digits) have millions of look-alikes; nobody reads more than this many.
_MOST_PAIRS = 1000
#: Sites with fewer patients have fewer to train on than a study takes by default at a time.
_FEW = 30


def inspect_data(
    folder: Path,
    *,
    columns: Mapping[str, str] | None = None,
    modality: str | None = None,
    table: Path | None = None,
    site: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Read every image, whatever its label, and report; what is not given is found out.

    Args:
        folder: images of any layout.
        columns: names of columns by their key of `data.columns`, where a person knows better than their names tell.
        modality: keep one modality or series.
        table: the table, where the folder holds several that could be it.
        site: the one site that all images belong to.

    Raises:
        DataError: the folder cannot be read or is empty, or a table or column that was named cannot be used. Files
            that cannot be read, and a folder of no known layout, are said in the report instead.
    """
    try:
        opened = open_folder(
            folder, columns=columns, modality=modality, table=table, site=site, progress=progress
        )
    except DataError as error:
        files = files_of(folder)
        if not files or columns or table is not None or modality is not None:
            raise
        return _nothing(files, error)
    return _report(folder, opened, measure(folder, opened.scan.entries, progress), modality)


def _report(folder: Path, opened: Opened, read: Measured, modality: str | None) -> Inspection:
    files, seen, table, guess = opened.files, opened.scan, opened.table, opened.guess
    entries = seen.entries
    images = list(images_of(read.entries))
    patients = [image.patient for image in images]
    groups = exact_groups(read.prints)
    near = near_pairs(read.prints)
    exact = tuple(tuple(images[i] for i in group) for group in groups)
    alike, tied = across_patients(near, patients), telling(near, patients)
    shared = tuple(group for group in exact if len({image.patient for image in group}) > 1)
    several = at_several_sites(entries)
    problems = (*seen.problems, *read.problems)
    masks = mask_counts(files, seen, table, guess)
    section = suggested(folder, opened, read, tuple(masks), modality)
    classes = np.unique([read.entries[n].label or "" for n in read.images], return_inverse=True)[1]
    findings = [
        *(DataFinding("table_reading", sentence, 1) for sentence in opened.said),
        *_without_patients(guess, len(entries)),
        *seen.findings,
        *left_out_findings(seen.excluded + seen.unasked),
        *_unreadable(len(problems)),
        *identity_findings(entries),
        *_duplicates(len(pairs_of_groups(groups)), len(shared), len(alike), len(tied)),
        *_labels_alike({entry.label for entry in entries if entry.label}),
        *other_label_findings(classes, pairs_of_groups(groups)),
        *_blank(read, section),
    ]
    if 0 < section.smallest < _FEW:
        sentence = (
            f"The smallest site has {plural(section.smallest, 'patient')}, of whom some two thirds train: set "
            "training.batch_patients to no more than those, or, where privacy.mode is distributed, than those of all "
            "sites together."
        )
        findings.append(DataFinding("small_site", sentence, section.smallest))
    if len({entry.site for entry in entries}) == 1:
        sentence = (
            "All images are of one site: a federation needs others beside it. To simulate it alone, set "
            "aggregation.secure to false and aggregation.minimum_sites to 1."
        )
        findings.append(DataFinding("one_site", sentence, 1))
    if several:
        what = plural(len(several), "patient was", "patients were")
        sentence = f"{what} seen at more than one site: their epsilon is the sum over the sites."
        findings.append(DataFinding("patient_at_several_sites", sentence, len(several)))
    return Inspection(
        layout=seen.layout,
        table="" if table is None else table.path.name,
        sites=tuple(site_summaries(entries)),
        series=tuple(series_summaries(entries)),
        patients=len({entry.patient for entry in entries}),
        sizes=tally(("x".join(str(side) for side in entry.size), entry.n_images) for entry in entries),
        spacings=tally((spacing_words(entry), entry.n_images) for entry in entries),
        orientations=tally((entry.orientation or UNKNOWN, entry.n_images) for entry in entries),
        image_types=image_types(folder, entries) if seen.layout == "dicom" else {},
        colours=tally(
            (colour, entry.n_images) for colour, entry in zip(read.colours, read.entries, strict=True)
        ),
        intensity=intensity_range(read.values) if len(read.values) else None,
        labels=guess.labels,
        masks=masks,
        beside=dict(seen.beside.most_common()),
        left_out=dict((seen.excluded + seen.unasked).most_common()),
        patients_at_several_sites=several,
        exact_duplicates=exact,
        near_duplicates=tuple((images[i], images[j]) for i, j in tied[:_MOST_PAIRS].tolist()),
        shared_between_patients=shared,
        unreadable=problems,
        findings=tuple(findings),
        section=section.text,
        section_note=section.note,
    )


def _nothing(files: Sequence[str], error: DataError) -> Inspection:
    """The report on a folder in which no layout was recognised."""
    endings = Counter("".join(PurePosixPath(path).suffixes[-2:]).lower() or "no ending" for path in files)
    return Inspection(
        beside={f"files with {ending}": count for ending, count in endings.most_common()},
        section_note=str(error),
    )


def _without_patients(guess: Guess, images: int) -> Iterator[DataFinding]:
    if guess.image_is_patient:
        sentence = (
            "No column names patients, so each image counts as one: where a patient has several images, epsilon holds "
            "for an image alone. Name the column with --patient-column."
        )
        yield DataFinding("image_is_patient", sentence, images)


def _labels_alike(labels: Iterable[str]) -> Iterator[DataFinding]:
    groups = groups_of_one_form(labels)
    if groups:
        named = listing(" and ".join(map(repr, group)) for group in groups)
        sentence = (
            f"{plural(len(groups), 'class is', 'classes are')} spelled in several ways: {named}. Choose one."
        )
        yield DataFinding("labels_alike", sentence, len(groups))


def _unreadable(count: int) -> Iterator[DataFinding]:
    if count:
        sentence = f"{plural(count, 'file')} cannot be used: training refuses until corrected or removed."
        yield DataFinding("unreadable", sentence, count)


def _duplicates(exact: int, shared: int, near: int, tied: int) -> Iterator[DataFinding]:
    if exact:
        sentence = (
            f"{plural(exact, 'image equals', 'images equal')} another image of the folder, pixel for pixel."
        )
        yield DataFinding("exact_duplicates", sentence, exact)
    if shared:
        sentence = (
            f"{plural(shared, 'group')} of equal images {'spans' if shared == 1 else 'span'} several patients: "
            "one person under two identities? Training keeps such patients in one part of the split."
        )
        yield DataFinding("duplicates_across_patients", sentence, shared)
    if near:
        few = f" of {tied} of them" if tied < near else ""
        sentence = (
            f"{plural(near, 'pair of images', 'pairs of images')} of different patients look nearly the same: training "
            f"keeps the patients{few} in one part of the split."
        )
        yield DataFinding("near_duplicates", sentence, near)


def _blank(read: Measured, section: Suggestion) -> Iterator[DataFinding]:
    blank = int(read.prints.blank.sum())
    if blank:
        sentence = f"{plural(blank, 'image holds', 'images hold')} a single value and so no information."
        yield DataFinding("blank_images", sentence, blank)
    if section.outside:
        lower, upper = section.window
        sentence = (
            f"{plural(section.outside, 'image lies', 'images lie')} for the most part outside the window of "
            f"stored values [{lower:g}, {upper:g}], which fits the others."
        )
        yield DataFinding("outside_window", sentence, section.outside)
