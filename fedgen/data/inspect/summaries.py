"""Counts over the entries of an index: sites, series, sizes, values, masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.dicom.kinds import MASK_OBJECTS
from fedgen.data.index import IndexEntry
from fedgen.data.inspect.columns import Guess
from fedgen.data.inspect.measured import PERCENTILES
from fedgen.data.inspect.report import Image2D, SeriesSummary, SiteSummary
from fedgen.data.layouts.bids import label_images
from fedgen.data.layouts.layout import Scan
from fedgen.data.table import Table

UNKNOWN = "unknown"


def images_of(entries: Sequence[IndexEntry]) -> Iterator[Image2D]:
    for entry in entries:
        taken = entry.slices
        for i in range(entry.n_images):
            place = None if taken is None else taken.start + i * taken.step
            yield Image2D(entry.path, place, entry.patient, entry.site)


def tally(items: Iterable[tuple[str, int]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name, count in items:
        counts[name] += count
    return dict(counts.most_common())


def spacing_words(entry: IndexEntry) -> str:
    return UNKNOWN if entry.spacing is None else " x ".join(f"{side:.3g}" for side in entry.spacing)


def site_summaries(entries: Sequence[IndexEntry]) -> Iterator[SiteSummary]:
    by_site: dict[str, list[IndexEntry]] = {}
    for entry in entries:
        by_site.setdefault(entry.site, []).append(entry)
    for site, own in sorted(by_site.items()):
        labels = tally((entry.label or "", entry.n_images) for entry in own)
        yield SiteSummary(site, len({entry.patient for entry in own}), sum(labels.values()), labels)


def series_summaries(entries: Sequence[IndexEntry]) -> list[SeriesSummary]:
    kinds: dict[tuple[str, str], list[IndexEntry]] = {}
    for entry in entries:
        kinds.setdefault((entry.modality, entry.series), []).append(entry)
    summaries = [
        SeriesSummary(
            modality,
            series,
            len({entry.patient for entry in own}),
            len({file for entry in own for file in entry.files}),
            sum(entry.n_images for entry in own),
        )
        for (modality, series), own in kinds.items()
    ]
    return sorted(summaries, key=lambda each: (-each.images, each.modality, each.series))


def mask_counts(files: Sequence[str], seen: Scan, table: Table | None, guess: Guess) -> dict[str, int]:
    if seen.layout == "bids":
        return label_images(files)
    columns = (
        {}
        if table is None
        else {column: sum(bool(row.cells[column]) for row in table.rows) for column in guess.masks}
    )
    columns |= seen.mask_rules
    if seen.layout != "dicom":
        return columns
    objects = {kind: seen.excluded[what] for kind, what in MASK_OBJECTS.items()}
    return columns | {kind: count for kind, count in objects.items() if count}


def at_several_sites(entries: Sequence[IndexEntry]) -> tuple[str, ...]:
    seen = {(entry.patient, entry.site) for entry in entries}
    return tuple(sorted(patient for patient, n in Counter(patient for patient, _ in seen).items() if n > 1))


def intensity_range(values: NDArray[np.float64]) -> dict[str, float]:
    low, high = PERCENTILES.index(1), PERCENTILES.index(99)
    return {
        "minimum": float(values[:, 0].min()),
        "percentile_1": float(np.percentile(values[:, low], 1)),
        "percentile_99": float(np.percentile(values[:, high], 99)),
        "maximum": float(values[:, -1].max()),
    }
