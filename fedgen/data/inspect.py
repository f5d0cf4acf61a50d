"""What a folder holds, before any study is fixed: counts, intensities, duplicates, unreadable files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedgen.data.build import scan_folder
from fedgen.data.decoders.decoder import Pixels, UnreadableError
from fedgen.data.duplicates import across_patients, exact_groups, near_pairs, pairs_of_groups
from fedgen.data.findings import DataFinding, plural
from fedgen.data.fingerprint import Fingerprints
from fedgen.data.index import IndexEntry
from fedgen.data.layouts.layout import Problem, Scan
from fedgen.data.pixels import refuse_non_finite
from fedgen.data.read import parallel, read_stored
from fedgen.study.data import DataSection

#: Very simple images (digits) have millions of look-alikes; nobody reads more than this many.
_MOST_PAIRS = 1000


@dataclass(frozen=True)
class SiteSummary:
    """Counts of one site; `labels` counts images, unlabelled ones under the empty name."""

    site: str
    patients: int
    images: int
    labels: dict[str, int]


@dataclass(frozen=True)
class Image2D:
    """One image by file and, for a volume, the number of the slice among those taken."""

    path: str
    slice: int | None
    patient: str
    site: str


@dataclass(frozen=True)
class Inspection:
    """The report; it names patients and files, so it stays at the site.

    Attributes:
        layout: how the folder was read.
        sites: one summary a site.
        patients: number of patients over all sites.
        sizes: number of images of each `HEIGHTxWIDTH`.
        colours: number of images of each kind: `gray`, `gray stored as RGB`, `RGB`.
        intensity: smallest and largest stored value, and the 1st and 99th percentile over images' own
            percentiles; None where no image can be read.
        patients_at_several_sites: identities seen at more than one site.
        exact_duplicates: groups of equal images (decoded values).
        near_duplicates: pairs of nearly equal images of different patients, the first thousand of them;
            the finding `near_duplicates` has their true number.
        shared_between_patients: exact groups that span several patients: one person under two identities?
        unreadable: files that cannot be used, and why.
        findings: the same in sentences.
    """

    layout: str
    sites: tuple[SiteSummary, ...]
    patients: int
    sizes: dict[str, int]
    colours: dict[str, int]
    intensity: dict[str, float] | None
    patients_at_several_sites: tuple[str, ...]
    exact_duplicates: tuple[tuple[Image2D, ...], ...]
    near_duplicates: tuple[tuple[Image2D, Image2D], ...]
    shared_between_patients: tuple[tuple[Image2D, ...], ...]
    unreadable: tuple[Problem, ...]
    findings: tuple[DataFinding, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class _Read:
    """One file's measurements; `problem` where it cannot be decoded."""

    prints: Fingerprints
    ranges: list[tuple[float, float, float, float]]
    colour: str
    problem: Problem | None = None


def inspect_data(folder: Path, data: DataSection, *, table: Path | None = None) -> Inspection:
    """Read every image of the study's modality, whatever its label, and report.

    Raises:
        DataError: the folder, its layout or its table cannot be used; files that cannot be read are listed
            in the report instead.
    """
    scan = scan_folder(folder, data, table=table)
    reads = list(parallel(lambda entry: _measure(folder, entry), scan.entries))
    problems = (*scan.problems, *(read.problem for read in reads if read.problem is not None))
    entries = [entry for entry, read in zip(scan.entries, reads, strict=True) if read.problem is None]
    good = [read for read in reads if read.problem is None]
    images = [image for entry in entries for image in _images(entry)]
    prints = Fingerprints.concatenate([Fingerprints.empty(0), *(read.prints for read in good)])
    patients = [image.patient for image in images]
    groups = exact_groups(prints)
    near = across_patients(near_pairs(prints), patients)
    exact = tuple(tuple(images[i] for i in group) for group in groups)
    shared = tuple(group for group in exact if len({image.patient for image in group}) > 1)
    several = _at_several_sites(scan.entries)
    ranges = np.array([values for read in good for values in read.ranges])
    return Inspection(
        layout=scan.layout,
        sites=tuple(_sites(scan.entries)),
        patients=len({entry.patient for entry in scan.entries}),
        sizes=_count(("x".join(str(side) for side in entry.size), entry.n_images) for entry in scan.entries),
        colours=_count((read.colour, len(read.ranges)) for read in good),
        intensity=_intensity(ranges) if len(ranges) else None,
        patients_at_several_sites=several,
        exact_duplicates=exact,
        near_duplicates=tuple((images[i], images[j]) for i, j in near[:_MOST_PAIRS].tolist()),
        shared_between_patients=shared,
        unreadable=problems,
        findings=tuple(
            _findings(scan, several, len(pairs_of_groups(groups)), len(near), len(shared), len(problems))
        ),
    )


def _measure(folder: Path, entry: IndexEntry) -> _Read:
    try:
        pixels = read_stored(folder, entry)
        refuse_non_finite(pixels)
    except UnreadableError as error:
        return _Read(Fingerprints.empty(0), [], "", Problem(entry.path, str(error)))
    colour = _colour(pixels)
    values = pixels if colour == "RGB" else pixels[..., :1]
    prints = Fingerprints.empty(len(values))
    ranges = []
    for i, image in enumerate(values):
        prints.put(i, image)
        low, high = np.percentile(image, [1, 99])
        ranges.append((float(image.min()), float(low), float(high), float(image.max())))
    return _Read(prints, ranges, colour)


def _colour(pixels: Pixels) -> str:
    if pixels.shape[-1] == 1:
        return "gray"
    return "gray stored as RGB" if (pixels == pixels[..., :1]).all() else "RGB"


def _images(entry: IndexEntry) -> Iterator[Image2D]:
    for i in range(entry.n_images):
        yield Image2D(entry.path, None if entry.slices is None else i, entry.patient, entry.site)


def _count(items: Iterator[tuple[str, int]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name, count in items:
        counts[name] += count
    return dict(counts.most_common())


def _sites(entries: Sequence[IndexEntry]) -> Iterator[SiteSummary]:
    by_site: dict[str, list[IndexEntry]] = {}
    for entry in entries:
        by_site.setdefault(entry.site, []).append(entry)
    for site, own in sorted(by_site.items()):
        labels = _count((entry.label or "", entry.n_images) for entry in own)
        yield SiteSummary(site, len({entry.patient for entry in own}), sum(labels.values()), labels)


def _at_several_sites(entries: Sequence[IndexEntry]) -> tuple[str, ...]:
    seen = {(entry.patient, entry.site) for entry in entries}
    return tuple(sorted(patient for patient, n in Counter(patient for patient, _ in seen).items() if n > 1))


def _intensity(ranges: np.ndarray) -> dict[str, float]:
    return {
        "minimum": float(ranges[:, 0].min()),
        "percentile_1": float(np.percentile(ranges[:, 1], 1)),
        "percentile_99": float(np.percentile(ranges[:, 2], 99)),
        "maximum": float(ranges[:, 3].max()),
    }


def _findings(
    scan: Scan, several: Sequence[str], exact: int, near: int, shared: int, unreadable: int
) -> Iterator[DataFinding]:
    yield from scan.findings
    for reason, count in sorted(scan.excluded.items()):
        yield DataFinding("excluded", f"{plural(count, 'file')} left out: {reason}.", count)
    if unreadable:
        sentence = (
            f"{plural(unreadable, 'file')} cannot be used: training refuses until corrected or removed."
        )
        yield DataFinding("unreadable", sentence, unreadable)
    if several:
        what = plural(len(several), "patient was", "patients were")
        sentence = f"{what} seen at more than one site: their epsilon is the sum over the sites."
        yield DataFinding("patient_at_several_sites", sentence, len(several))
    if exact:
        sentence = (
            f"{plural(exact, 'image equals', 'images equal')} another image of the folder, pixel for pixel."
        )
        yield DataFinding("exact_duplicates", sentence, exact)
    if shared:
        sentence = (
            f"{plural(shared, 'group')} of equal images spans several patients: "
            "one person under two identities? Training keeps such patients in one part of the split."
        )
        yield DataFinding("duplicates_across_patients", sentence, shared)
    if near:
        sentence = (
            f"{plural(near, 'pair of images', 'pairs of images')} of different patients look nearly the same."
        )
        yield DataFinding("near_duplicates", sentence, near)
