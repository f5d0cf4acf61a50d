"""Several contrasts of one patient and time as one record: which images belong together, and what lacks one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedgen.data.findings import listing
from fedgen.data.index import IndexEntry
from fedgen.errors import DataError
from fedgen.study.data import DataSection

#: Grids whose corners are this close, in mm, are one.
_SAME = 0.5
#: A patient's images at one time, at one site; of slices that are files of their own, at one place.
Time = tuple[str, str, str, tuple[float, ...]]


def named_contrasts(entries: Iterable[IndexEntry], data: DataSection) -> list[IndexEntry]:
    """The entries with the one of `data.contrasts` that each is of."""
    return [
        replace(entry, contrast=next((c for c in data.contrasts if c in (entry.modality, entry.series)), ""))
        for entry in entries
    ]


def time_of(entry: IndexEntry) -> Time:
    """What the images of one record share."""
    place: tuple[float, ...] = ()
    if entry.slices is None and len(entry.size) == 2 and entry.affine is not None:
        # To a tenth of a millimetre, since contrasts of one examination state their places alike.
        place = tuple(round(row[3], 1) for row in entry.affine)
    return entry.site, entry.patient, entry.study, place


def complete_times(entries: Sequence[IndexEntry], data: DataSection) -> tuple[list[IndexEntry], Counter[str]]:
    """Of paired contrasts the entries whose time has all that the study requires, and what is left out, by reason.

    Raises:
        DataError: two images of one contrast at one time, or images of one time that lie on different grids.
    """
    times: dict[Time, list[IndexEntry]] = {}
    for entry in entries:
        times.setdefault(time_of(entry), []).append(entry)
    kept: list[IndexEntry] = []
    lost: Counter[str] = Counter()
    for images in times.values():
        _refuse_two_of_one(images)
        found = {entry.contrast for entry in images}
        missing = [name for name in data.needed if name not in found]
        if missing:
            lost[f"no {listing(missing)} of the same patient and time"] += len(images)
        elif len(data.contrasts) > 1 and len(found) == 1:
            lost["no other contrast of the same patient and time"] += len(images)
        else:
            _refuse_other_grids(images)
            kept += images
    return kept, lost


def _refuse_two_of_one(images: Sequence[IndexEntry]) -> None:
    twice = [name for name, count in Counter(entry.contrast for entry in images).items() if count > 1]
    if twice:
        first, second = [entry.path for entry in images if entry.contrast == twice[0]][:2]
        raise DataError(
            f"{first} and {second} are both {twice[0]} of one patient and time, so that nothing says which belongs to "
            "the others: tell the times apart (column study, BIDS session), or leave one out."
        )


def _refuse_other_grids(images: Sequence[IndexEntry]) -> None:
    first = images[0]
    for other in images[1:]:
        if (first.size, first.slices) != (other.size, other.slices) or not _same_place(first, other):
            raise DataError(
                f"{first.path} and {other.path} show one patient at one time on different grids: register and resample "
                "them to one before they are used as a pair."
            )


def _same_place(one: IndexEntry, other: IndexEntry) -> bool:
    if one.affine is None or other.affine is None:
        return True
    corners = np.array([[0, 0, 0, 1], [0, *one.size[-2:], 1], [10, 0, 0, 1]], float).T
    away = (np.array(one.affine) - np.array(other.affine)) @ corners
    return bool(np.abs(away[:3]).max() <= _SAME)


def rows_of_images(
    entries: Sequence[IndexEntry], image_entries: NDArray[np.int64], data: DataSection
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which record each decoded image belongs to, and which contrast of it the image is.

    Args:
        entries: of one site.
        image_entries: (N,) the entry of each image; those of an entry are neighbours, in the order of its slices.
        data: contrasts, and whether they are paired.

    Returns:
        (N,) rows from 0, and (N,) indices into `data.contrasts`.
    """
    first = np.searchsorted(image_entries, np.arange(len(entries)))
    place = np.arange(len(image_entries)) - first[image_entries]
    contrast = np.array([data.contrasts.index(entry.contrast) for entry in entries], np.int64)[image_entries]
    if not data.paired:
        return np.arange(len(image_entries)), contrast
    numbers: dict[tuple[Time, int], int] = {}
    rows = [
        numbers.setdefault((time_of(entries[entry]), int(p)), len(numbers))
        for entry, p in zip(image_entries.tolist(), place, strict=True)
    ]
    return np.array(rows, np.int64), contrast
