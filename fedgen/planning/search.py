"""What batch, or how many patients, would bring B / sigma to a wanted value; steps and epsilon are held fixed.

The searches bisect to `WIDTH` with noise calibrated to `TOLERANCE`, so their answers are about right and never
statements of privacy: a changed study is planned anew, with the full accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from fedgen.errors import PrivacyRefusedError
from fedgen_privacy.accounting import Spend, calibrate_noise

#: Relative width at which a search stops.
WIDTH = 0.02
#: Tolerance in epsilon of the noise within a search.
TOLERANCE = 0.05
#: More patients than this are none: no federation has a billion.
MOST_PATIENTS = 10**9


@dataclass(frozen=True)
class HeldFixed:
    """What is held fixed.

    Attributes:
        epsilon: > 0, of the whole study.
        delta: in (0, 1), as the study has it.
        steps: private steps of the whole study, >= 1.
        patients: N >= 1, training patients the study's delta was chosen for.
        keep_delta: leave delta as it is even at 1 / patients and more.
        discrete: the noise is a discrete Gaussian.
        besides: what the epsilon has to cover beside the steps.
    """

    epsilon: float
    delta: float
    steps: int
    patients: int
    keep_delta: bool = False
    discrete: bool = False
    besides: tuple[Spend, ...] = ()

    def delta_for(self, patients: int) -> float:
        """The study's delta; for more patients than it has at most 1 / (2 patients), well below what is refused."""
        if self.keep_delta or patients <= self.patients:
            return self.delta
        return min(self.delta, 1 / (2 * patients))

    def batch_over_sigma(self, sampling_rate: float, patients: int) -> float:
        """B / sigma with B = sampling_rate patients; 0 where no noise reaches epsilon."""
        try:
            sigma = calibrate_noise(
                epsilon=self.epsilon,
                delta=self.delta_for(patients),
                sampling_rate=sampling_rate,
                steps=self.steps,
                tolerance=TOLERANCE,
                discrete=self.discrete,
                besides=self.besides,
            )
        except PrivacyRefusedError:
            return 0.0
        return sampling_rate * patients / sigma


@dataclass(frozen=True)
class CohortSize:
    """A number of patients with its batch at the same sampling rate, and the delta assumed there."""

    patients: int
    batch: int
    delta: float


def batch_for(wanted: float, budget: HeldFixed) -> int | None:
    """The smallest batch, up to `WIDTH`, with B / sigma >= `wanted`; None where a batch of all patients is too small.

    B / sigma rises with B: noise grows more slowly than the sampling rate.
    """
    N = budget.patients

    def reaches(batch: int) -> bool:
        return budget.batch_over_sigma(batch / N, N) >= wanted

    return _bisect(reaches, 0, N) if reaches(N) else None


def patients_for(wanted: float, sampling_rate: float, budget: HeldFixed) -> CohortSize | None:
    """The fewest patients, up to `WIDTH`, with B / sigma >= `wanted` at the same sampling rate.

    At a fixed sampling rate sigma depends on delta alone, so B / sigma grows with the patients until delta has to
    shrink for them, and more slowly from there.

    Returns:
        None where even `MOST_PATIENTS` are too few.
    """

    def reached(patients: int) -> float:
        return budget.batch_over_sigma(sampling_rate, patients)

    # The study's own delta is the largest that applies, so its noise is the least: fewer never suffice.
    now = reached(budget.patients)
    if now == 0:
        return None
    low, high = 0, max(math.ceil(wanted / now * budget.patients), 1)
    while high <= MOST_PATIENTS:
        now = reached(high)
        if now >= wanted:
            break
        # In proportion, and a little more: the bracket is then small from the start.
        low, high = high, math.ceil(1.05 * high * wanted / now) if now else 2 * high
    if high > MOST_PATIENTS:
        return None
    enough = _bisect(lambda patients: reached(patients) >= wanted, low, high) if low else high
    return CohortSize(enough, max(round(sampling_rate * enough), 1), budget.delta_for(enough))


def _bisect(reaches: Callable[[int], bool], low: int, high: int) -> int:
    """A number that reaches, with one at most `WIDTH` below it that does not; `high` reaches, `low` does not."""
    while high - low > max(1.0, WIDTH * high):
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high
