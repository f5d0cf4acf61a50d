"""Estimates from counts to which Gaussian noise of a known size was added, with intervals that include the noise.

A count here is a sum over patients of a share in [0, 1]. Its variance is at most its own size (as of a Poisson count)
plus that of the noise. Ratios of such counts have no useful standard error where the noise is as large as they are,
so that an interval is found by Fieller's way (1954): all values of the ratio whose linear form is not too far from 0.
Where even the denominator is lost in the noise the interval is the whole range, which is the truth.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

FloatArray = NDArray[np.float64]

#: Points of the range that are tried.
_GRID = 2001
#: Chance to see an effect of the size that is called the smallest visible.
POWER = 0.8


class Noised(NamedTuple):
    """An estimate; None where the noise leaves none, and limits that hold with the confidence asked for."""

    value: float | None
    low: float
    high: float


def noised_share(counts: FloatArray, weights: FloatArray, noise: float, alpha: float) -> Noised:
    """Sum of weights times counts over the sum of counts.

    Args:
        counts: (b,) noised.
        weights: (b,) of each; the range of the result is from the smallest to the largest.
        noise: standard deviation of the noise in each count, >= 0.
        alpha: 1 - confidence of the two limits together.
    """
    _check(noise, alpha)
    at = np.linspace(float(weights.min()), float(weights.max()), _GRID)
    centred = weights[:, None] - at
    form = counts @ centred
    variance = (np.maximum(counts, 0.0) + noise**2) @ centred**2
    total = float(counts.sum())
    found = float(counts @ weights) / total if _clear(counts, noise) else None
    return _inverted(at, form, variance, found, alpha)


def noised_auc(members: FloatArray, others: FloatArray, noise: float, alpha: float) -> Noised:
    """Chance that a member's score is above another's, ties counted half, from counts by bin of the score.

    Args:
        members, others: (b,) noised counts by bin, from the lowest score to the highest.
        noise, alpha: as of `noised_share`.
    """
    _check(noise, alpha)
    at = np.linspace(0.0, 1.0, _GRID)
    form, variance = _auc_form(members, others, noise, at)
    found = None
    if _clear(members, noise) and _clear(others, noise):
        found = float(form[0]) / float(members.sum() * others.sum())
    return _inverted(at, form, variance, found, alpha)


def noised_advantage(
    hit: tuple[FloatArray, FloatArray], false: tuple[FloatArray, FloatArray], noise: float, alpha: float
) -> Noised:
    """Share of members called members less the share of others called so (limits: Zou and Donner 2008).

    Args:
        hit: (b,) noised counts of members by bin, and which bins are called members, 0 or 1.
        false: the same of others.
        noise, alpha: as of `noised_share`.
    """
    t, f = noised_share(*hit, noise, alpha), noised_share(*false, noise, alpha)
    if t.value is None or f.value is None:
        return Noised(None, t.low - f.high, t.high - f.low)
    value = t.value - f.value
    low = value - math.hypot(t.value - t.low, f.high - f.value)
    return Noised(value, max(-1.0, low), min(1.0, value + math.hypot(t.high - t.value, f.value - f.low)))


def epsilon_seen(hit: Noised, false: Noised, delta: float) -> float:
    """Lower bound of the epsilon of whatever was attacked, from limits of TPR and FPR; 0 where they show none.

    Both directions of the definition: TPR <= e^epsilon FPR + delta, 1 - FPR <= e^epsilon (1 - TPR) + delta.
    """
    pairs = ((hit.low - delta, false.high), (1 - false.high - delta, 1 - hit.low))
    return max([0.0, *(math.log(above / below) for above, below in pairs if above > 0 and below > 0)])


def smallest_auc(members: FloatArray, others: FloatArray, noise: float, alpha: float) -> float:
    """The AUC from which on an interval of `noised_auc` lies above 0.5 with a chance of 80 %; 1 at most.

    The scores' bins are taken as these counts have them, and both sides as alike.
    """
    _check(noise, alpha)
    if not (_clear(members, noise) and _clear(others, noise)):
        return 1.0
    # The scores of both sides together, without what noise adds to them.
    both = np.maximum(members + others, 0.0) + 1e-9
    a, b = (float(side.sum()) * both / both.sum() for side in (members, others))
    _, variance = _auc_form(a, b, noise, np.array([0.5]))
    # The third term of the variance, in which both sides' own noise meets.
    order = np.subtract.outer(np.arange(len(a)), np.arange(len(b)))
    third = float((a + noise**2) @ (0.25 * np.sign(order) ** 2) @ (b + noise**2))
    error = math.sqrt(float(variance[0]) + third) / float(a.sum() * b.sum())
    return min(1.0, 0.5 + float(norm.ppf(1 - alpha / 2) + norm.ppf(POWER)) * error)


def _auc_form(a: FloatArray, b: FloatArray, noise: float, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """a' (K - theta) b, which is 0 in expectation where theta is the AUC, and its variance, not estimated too small."""
    order = np.subtract.outer(np.arange(len(a)), np.arange(len(b)))
    kernel = 0.5 * (1 + np.sign(order))
    by_a = (kernel @ b)[:, None] - theta * b.sum()
    by_b = (a @ kernel)[:, None] - theta * a.sum()
    variance_a, variance_b = np.maximum(a, 0.0) + noise**2, np.maximum(b, 0.0) + noise**2
    # The noise within a and b makes both terms too large by the third of the exact variance: left in.
    return a @ by_a, variance_a @ by_a**2 + variance_b @ by_b**2


def _clear(counts: FloatArray, noise: float) -> bool:
    """Whether the total is well above its noise, and half a patient at least."""
    return float(counts.sum()) > max(2.0 * noise * math.sqrt(len(counts)), 0.5)


def _inverted(
    at: FloatArray, form: FloatArray, variance: FloatArray, found: float | None, alpha: float
) -> Noised:
    z = float(norm.ppf(1 - alpha / 2))
    distance = form**2 - z**2 * variance
    kept = at[distance <= 0] if bool((distance <= 0).any()) else at[[int(np.argmin(distance))]]
    low, high = float(kept.min()), float(kept.max())
    if found is None:
        return Noised(None, low, high)
    value = min(max(found, float(at[0])), float(at[-1]))
    return Noised(value, min(low, value), max(high, value))


def _check(noise: float, alpha: float) -> None:
    if not noise >= 0 or not 0 < alpha < 1:
        raise ValueError(f"noise {noise:g} must not be negative and alpha {alpha:g} must lie in (0, 1)")
