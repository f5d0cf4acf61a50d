"""Which labelled images a study can use: with the covariates, masks and contrasts that it asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fedgen.data.contrasts import complete_times, named_contrasts
from fedgen.data.findings import listing, plural
from fedgen.data.index import IndexEntry
from fedgen.errors import DataError
from fedgen.study.data import DataSection


def usable_entries(entries: Sequence[IndexEntry], data: DataSection) -> tuple[list[IndexEntry], Counter[str]]:
    """The entries that the study can use, and what is left out, by reason.

    Raises:
        DataError: covariates are missing, and `data.other_labels` is refuse; or see `complete_times`.
    """
    lost: Counter[str] = Counter()
    kept = list(entries)
    unknown = [entry for entry in kept if entry.covariates is None]
    if unknown:
        asked = listing(data.covariates)
        if data.other_labels == "refuse":
            raise DataError(
                f"{plural(len(unknown), 'image has', 'images have')} no value of one of data.covariates ({asked}), the "
                f"first of them {unknown[0].path}: fill it in, or set data.other_labels to exclude."
            )
        lost[f"no value of one of {asked}"] += len(unknown)
        kept = [entry for entry in kept if entry.covariates is not None]
    if data.unmasked == "exclude":
        lost["no mask"] += sum(entry.mask is None for entry in kept)
        kept = [entry for entry in kept if entry.mask is not None]
    if data.contrasts:
        kept = named_contrasts(kept, data)
        if data.paired:
            kept, incomplete = complete_times(kept, data)
            lost += incomplete
    return kept, +lost
