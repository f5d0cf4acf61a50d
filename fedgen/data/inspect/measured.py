"""Read every image once and keep its measures: fingerprints, stored values, colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedgen.data.decoders.decoder import Pixels, UnreadableError
from fedgen.data.fingerprint import Fingerprints
from fedgen.data.index import IndexEntry
from fedgen.data.layouts.layout import Problem
from fedgen.data.pixels import refuse_non_finite
from fedgen.data.read import parallel, read_stored

#: Percentiles of an image's stored values, as they stand in `Measured.values`; 0 and 100 are its extremes.
PERCENTILES = (0, 1, 60, 75, 99, 100)
#: Pixels that percentiles are taken of, spread over the image: more change nothing that a person would see.
_SAMPLED = 4096


@dataclass(frozen=True)
class Measured:
    """The entries that can be read, and their M images.

    Attributes:
        entries: those that could be read.
        images: (M,) number in `entries` of each image.
        prints: fingerprints of the M images.
        values: (M, 6) `PERCENTILES` of each image's stored values.
        colours: the kind of colour of each entry.
        problems: files that could not be read.
    """

    entries: tuple[IndexEntry, ...]
    images: NDArray[np.int64]
    prints: Fingerprints
    values: NDArray[np.float64]
    colours: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _One:
    prints: Fingerprints
    values: NDArray[np.float64]
    colour: str
    problem: Problem | None = None


def measure(
    folder: Path, entries: Sequence[IndexEntry], progress: Callable[[int, int], None] | None = None
) -> Measured:
    """Read every entry, in threads; one that cannot be read is a problem, not an error.

    Args:
        folder: the folder.
        entries: of it.
        progress: told (entries done, entries in all).
    """
    found = []
    for one in parallel(lambda entry: _measure(folder, entry), entries):
        found.append(one)
        if progress is not None:
            progress(len(found), len(entries))
    good = [number for number, one in enumerate(found) if one.problem is None]
    return Measured(
        entries=tuple(entries[number] for number in good),
        images=np.repeat(np.arange(len(good)), [len(found[number].values) for number in good]),
        prints=Fingerprints.concatenate([Fingerprints.empty(0), *(found[number].prints for number in good)]),
        values=np.concatenate([np.empty((0, len(PERCENTILES))), *(found[number].values for number in good)]),
        colours=tuple(found[number].colour for number in good),
        problems=tuple(one.problem for one in found if one.problem is not None),
    )


def _measure(folder: Path, entry: IndexEntry) -> _One:
    try:
        pixels = read_stored(folder, entry)
        refuse_non_finite(pixels)
    except UnreadableError as error:
        return _One(
            Fingerprints.empty(0), np.empty((0, len(PERCENTILES))), "", Problem(entry.path, str(error))
        )
    colour = _colour(pixels)
    images = pixels if colour == "RGB" else pixels[..., :1]
    prints = Fingerprints.empty(len(images))
    for number, image in enumerate(images):
        prints.put(number, image)
    return _One(prints, np.array(list(_percentiles(images))), colour)


def _percentiles(images: Pixels) -> Iterator[NDArray[np.float64]]:
    for image in images:
        flat = image.reshape(-1)
        some = np.sort(flat[:: 1 + flat.size // _SAMPLED])
        values = some[[round(percent / 100 * (len(some) - 1)) for percent in PERCENTILES]].astype(np.float64)
        values[0], values[-1] = flat.min(), flat.max()
        yield values


def _colour(pixels: Pixels) -> str:
    if pixels.shape[-1] == 1:
        return "gray"
    return "gray stored as RGB" if (pixels == pixels[..., :1]).all() else "RGB"
