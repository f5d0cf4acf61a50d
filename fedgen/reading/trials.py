"""What readers are shown: which images, in which order, on which side. Pure functions of labels and a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.study.reading_section import ReadingMode

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Readable:
    """Images that may be shown.

    Attributes:
        labels: (n,) class of each real image of a test patient.
        patients: (n,) its patient, unique over all sites.
        made: (k,) class of each synthetic image.
    """

    labels: IntArray
    patients: IntArray
    made: IntArray


@dataclass(frozen=True)
class DrawnPairs:
    """Real and synthetic images that are shown, pair by pair of one class.

    Attributes:
        real: (m,) positions among the real images, each of another patient.
        made: (m,) positions among the synthetic ones.
    """

    real: tuple[int, ...]
    made: tuple[int, ...]


def draw(found: Readable, images: int, seed: int) -> DrawnPairs:
    """At most `images` pairs, as even over the classes as they allow; at most one image of a patient.

    Both of a pair are of one class, so that what an image shows of the class is no hint. Without a second image of a
    patient, one reading of a real image says nothing of another.
    """
    rng = np.random.default_rng(seed)
    classes = np.intersect1d(found.labels, found.made)
    shuffled = {int(c): list(rng.permutation(np.flatnonzero(found.made == c))) for c in classes}
    waiting = {int(c): list(rng.permutation(np.flatnonzero(found.labels == c))) for c in classes}
    used: set[int] = set()
    real: list[int] = []
    made: list[int] = []
    while len(real) < images:
        before = len(real)
        for c in shuffled:
            while waiting[c] and int(found.patients[waiting[c][-1]]) in used:
                waiting[c].pop()
            if len(real) < images and waiting[c] and shuffled[c]:
                chosen = int(waiting[c].pop())
                used.add(int(found.patients[chosen]))
                real.append(chosen)
                made.append(int(shuffled[c].pop()))
        if len(real) == before:
            break
    return DrawnPairs(tuple(real), tuple(made))


#: An image on the page: `r3` is the third real one that was drawn, `s3` the synthetic one of its pair.
Shown = str
#: What is on the page at once: one image, or two side by side.
Trial = tuple[Shown, ...]


def order(pairs: int, mode: ReadingMode, seed: str, reader: str) -> tuple[Trial, ...]:
    """The trials of one reader: the same images for every reader, in an order and on sides of each reader's own.

    Args:
        pairs: that were drawn.
        mode: of the study.
        seed: secret of this reading, so that nobody knows an order beforehand.
        reader: a pseudonym.
    """
    digest = hashlib.sha256(f"{seed}/{reader}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16]))
    if mode == "single":
        every = [(f"{kind}{n}",) for kind in "rs" for n in range(pairs)]
        return tuple(every[int(k)] for k in rng.permutation(len(every)))
    sides: Sequence[bool] = [bool(side) for side in rng.integers(0, 2, pairs)]
    return tuple(
        (f"r{n}", f"s{n}") if sides[n] else (f"s{n}", f"r{n}")
        for n in (int(k) for k in rng.permutation(pairs))
    )


def is_real(shown: Shown) -> bool:
    """Whether an image is of a patient."""
    return shown.startswith("r")
