"""Any comparison of two sets of images beside its floor: the same comparison of disjoint halves of the real patients.

Most measures of two sets depend on how large the sets are, so value and floor are taken from sets of the same size: for
each of several random splits of the real patients into halves A and B, the value is that of A (and of B) with as many
synthetic images, the floor that of A with B.

The spread over half-samples of the patients is the standard error of the measure of all of them (the delete-half
jackknife, Shao and Wu 1989, section 4). A bootstrap would draw patients twice, and an image is at no distance from its
double: a distance of sets would then seem larger than it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.evidence.workers import workers

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Random splits of the real patients into halves.
SPLITS = 10
#: A half with fewer images than this gives no number worth one.
MINIMUM_HALF = 8
#: Of the intervals, 95 %.
Z = 1.959963984540054

#: compare(positions of real images, positions of as many others) -> numbers by name
Compare = Callable[[IntArray, IntArray], Mapping[str, float]]


@dataclass(frozen=True)
class Beside:
    """One number of a comparison.

    Attributes:
        value: mean over the half-samples of the patients.
        std: its standard error over the choice of real patients.
        floor: mean over the splits, of real against real.
        floor_std: its standard deviation over the splits; None of a single one.
        n: images on either side of each comparison, on average.
    """

    value: float
    std: float
    floor: float
    floor_std: float | None
    n: int

    @property
    def low(self) -> float:
        """Lower limit, 95 %."""
        return self.value - Z * self.std

    @property
    def high(self) -> float:
        """Upper limit, 95 %."""
        return self.value + Z * self.std

    def beyond(self, better: str) -> bool:
        """Whether synthetic images are surely worse than real ones of the same number are.

        Args:
            better: `lower` or `higher`; `half` where both sides of 0.5 are worse.
        """
        spread = 2 * (self.floor_std or 0.0)
        if better == "higher":
            return self.high < self.floor - spread
        return self.low > self.floor + spread


def patient_halves(patients: IntArray, *, splits: int, seed: int) -> list[tuple[IntArray, IntArray]]:
    """Positions of the images of two disjoint random halves of the patients, `splits` times."""
    rng = np.random.default_rng(seed)
    owners = np.unique(patients)
    found = []
    for _ in range(splits):
        first = np.isin(patients, rng.permutation(owners)[: len(owners) // 2])
        found.append((np.flatnonzero(first), np.flatnonzero(~first)))
    return found


def beside_floor(
    compare: Compare, halves: Sequence[tuple[IntArray, IntArray]], made: IntArray, *, seed: int
) -> dict[str, Beside]:
    """Every number of a comparison, beside its floor; one that is not finite everywhere is left out.

    Args:
        compare: given real images and as many others, whose numbers do not depend on the order of either; of several
            pairs at the same time.
        halves: positions of real images, of disjoint patients.
        made: positions of the synthetic images.
        seed: of which images stand for a larger set.
    """
    rng = np.random.default_rng(seed)
    values: dict[str, list[float]] = {}
    floors: dict[str, list[float]] = {}
    sizes, pairs, of = [], [], []
    for a, b in halves:
        n = min(len(a), len(b), len(made))
        sizes.append(n)
        first, second = rng.permutation(a)[:n], rng.permutation(b)[:n]
        pairs += [*((real, rng.permutation(made)[:n]) for real in (first, second)), (first, second)]
        of += [values, values, floors]
    with workers() as pool:
        for numbers, found in zip(of, pool.map(lambda pair: compare(*pair), pairs), strict=True):
            for name, number in found.items():
                numbers.setdefault(name, []).append(number)
    return {
        name: Beside(
            value=float(np.mean(values[name])),
            std=float(np.std(values[name], ddof=1)),
            floor=float(np.mean(floors[name])),
            floor_std=float(np.std(floors[name], ddof=1)) if len(floors[name]) > 1 else None,
            n=round(sum(sizes) / len(sizes)),
        )
        for name in values
        if all(math.isfinite(number) for number in (*values[name], *floors[name]))
    }
