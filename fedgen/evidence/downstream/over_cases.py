"""Means over cases with their bootstrap: a case is a patient, and equal numbers of cases are drawn alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedgen.evidence.downstream.bootstrap import replicate_weights
from fedgen.evidence.downstream.cells import MINIMUM_PATIENTS, Replicated, Score

FloatArray = NDArray[np.float64]


class Replicates(NamedTuple):
    """Of the bootstrap: how many there are, and the seed of the draws."""

    number: int
    seed: int


def mean_over_cases(values: FloatArray, boot: Replicates) -> Replicated:
    """The mean of one number a patient, and of each replicate of the patients.

    The same number of cases and seed draw the same patients, so that the mean of differences between two arms is the
    paired difference of their means.

    Args:
        values: (cases,), one at least.
        boot: its R replicates.
    """
    one = np.zeros(len(values), np.int64)
    weights = replicate_weights(np.arange(len(values)), one, boot.number, seed=boot.seed)
    return Replicated(float(values.mean()), weights @ values / len(values), None)


def score_of(values: FloatArray | None, boot: Replicates, *, seeds: Sequence[float] = ()) -> Score | None:
    """The mean with its interval; None of fewer cases than are judged, or where there is none.

    Args:
        values: (cases,), without those of which the number is not defined.
        boot: of the interval.
        seeds: means that single networks have, for their standard deviation.
    """
    if values is None or len(values) < MINIMUM_PATIENTS:
        return None
    found = mean_over_cases(values, boot).score()
    spread = float(np.std(seeds, ddof=1)) if len(seeds) > 1 else None
    return Score(found.value, found.low, found.high, spread)


def too_few(cases: int) -> str | None:
    """Why so many test patients give no score, as a sentence; None where they do."""
    if cases == 0:
        return "There is no test patient with a true mask."
    if cases < MINIMUM_PATIENTS:
        return f"Fewer than {MINIMUM_PATIENTS} test patients."
    return None
