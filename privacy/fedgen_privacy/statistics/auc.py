"""Area under the ROC curve: estimate, standard error of clustered data, intervals, tests, detectability."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, norm, rankdata

Vector = NDArray[np.float64]

#: Values of resamples that are held at once, to bound memory.
HELD_AT_ONCE = 1 << 20


def auc(members: Vector, non_members: Vector) -> float:
    """P(member > non-member) + P(equal) / 2, the Mann-Whitney statistic over m * n.

    Raises:
        ValueError: a side is empty.
    """
    m, n = members.size, non_members.size
    if m == 0 or n == 0:
        raise ValueError("AUC needs at least one member and one non-member")
    ranks = rankdata(np.concatenate([members, non_members]))[:m]
    return float((ranks.sum() - m * (m + 1) / 2) / (m * n))


def _placements(values: Vector, others: Vector) -> Vector:
    """Share of `others` below each value, ties counted half; shape of `values`."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, side="left")
    not_above = np.searchsorted(ordered, values, side="right")
    return (below + not_above) / (2 * others.size)


def _cluster_variance(placements: Vector, clusters: NDArray[np.int64], centre: float) -> float:
    """Variance of the mean placement with whole clusters as the independent units (Obuchowski 1997)."""
    _, inverse = np.unique(clusters, return_inverse=True)
    sums = np.bincount(inverse, weights=placements - centre)
    units = sums.size
    if units < 2:
        return math.inf
    return float(units / (units - 1) * np.sum(sums**2) / placements.size**2)


def standard_error(
    members: Vector,
    non_members: Vector,
    member_clusters: NDArray[np.int64] | None = None,
    non_member_clusters: NDArray[np.int64] | None = None,
) -> float:
    """Standard error of `auc`: DeLong et al. (1988), or Obuchowski (1997) where images share a patient.

    Args:
        members: (m,) scores.
        non_members: (n,) scores.
        member_clusters: (m,) patient of each member image; every image its own cluster where None. No
            patient may stand on both sides.
        non_member_clusters: (n,) likewise.

    Returns:
        The standard error; infinity where a side has a single cluster.
    """
    estimate = auc(members, non_members)
    inside = np.arange(members.size) if member_clusters is None else member_clusters
    outside = np.arange(non_members.size) if non_member_clusters is None else non_member_clusters
    return math.sqrt(
        _cluster_variance(_placements(members, non_members), inside, estimate)
        + _cluster_variance(1 - _placements(non_members, members), outside, estimate)
    )


def delong_interval(members: Vector, non_members: Vector, alpha: float) -> tuple[float, float]:
    """Wald interval of level 1 - alpha with DeLong's standard error, cut to [0, 1]."""
    estimate, error = auc(members, non_members), standard_error(members, non_members)
    half = float(norm.ppf(1 - alpha / 2)) * error
    return max(0.0, estimate - half), min(1.0, estimate + half)


def bootstrap_interval(
    members: Vector, non_members: Vector, alpha: float, replicates: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile bootstrap of level 1 - alpha; every value is one PATIENT, resampled on its own side.

    Where every replicate agrees (complete separation) the bootstrap knows no uncertainty; the interval is
    then Wilson's (1927) with min(m, n) trials, which inverts the largest variance any two distributions with
    that AUC can have (Birnbaum and Klose 1957): wide, never wrong.

    Args:
        members: (m,) one score a member patient.
        non_members: (n,) one score a non-member patient.
        alpha: 1 - confidence.
        replicates: number of resamples.
        rng: source of the resamples.
    """
    m, n = members.size, non_members.size
    _, level = np.unique(np.concatenate([members, non_members]), return_inverse=True)
    levels = int(level.max()) + 1
    step = max(1, HELD_AT_ONCE // max(m, n, levels))
    drawn = np.concatenate(
        [
            _resampled(level[:m], level[m:], levels, min(step, replicates - start), rng)
            for start in range(0, replicates, step)
        ]
    )
    drawn /= m * n
    if np.ptp(drawn) > 0:
        low, high = np.quantile(drawn, [alpha / 2, 1 - alpha / 2])
        return float(low), float(high)
    trials, z = min(m, n), float(norm.ppf(1 - alpha / 2))
    centre, half = (
        drawn[0] + z**2 / (2 * trials),
        z * math.sqrt(drawn[0] * (1 - drawn[0]) / trials + z**2 / (4 * trials**2)),
    )
    scale = 1 + z**2 / trials
    return max(0.0, float(centre - half) / scale), min(1.0, float(centre + half) / scale)


def _resampled(
    inside: NDArray[np.intp],
    outside: NDArray[np.intp],
    levels: int,
    replicates: int,
    rng: np.random.Generator,
) -> Vector:
    """Pairs in order, ties counting half, of so many resamples of both sides; (replicates,)."""

    def counts(side: NDArray[np.intp]) -> Vector:
        # All resamples in one count, each in its own row of levels.
        chosen = side[rng.integers(0, side.size, (replicates, side.size))]
        chosen += levels * np.arange(replicates)[:, None]
        found = np.bincount(chosen.ravel(), minlength=replicates * levels)
        return found.reshape(replicates, levels).astype(np.float64)

    members, others = counts(inside), counts(outside)
    below = np.cumsum(others, axis=1) - others / 2
    return np.einsum("rl,rl->r", members, below)


def above_chance(members: Vector, non_members: Vector) -> float:
    """One-sided Mann-Whitney p-value against "members do not score higher"."""
    return float(mannwhitneyu(members, non_members, alternative="greater").pvalue)


def above_value(members: Vector, non_members: Vector, value: float) -> float:
    """Conservative one-sided p-value against "AUC <= value", for any pair of score distributions.

    Normal approximation with value * (1 - value) / min(m, n), the largest variance the statistic can have
    at that AUC (Birnbaum and Klose 1957).
    """
    if value >= 1:
        return 1.0
    error = math.sqrt(value * (1 - value) / min(members.size, non_members.size))
    return float(norm.sf((auc(members, non_members) - value) / error))


def minimum_detectable(members: int, non_members: int, alpha: float, power: float = 0.8) -> float:
    """Least AUC a two-sided test at alpha finds with this power; 1 where nothing could be found.

    Normal approximation with the null variance (m + n + 1) / (12 m n). Power 0.5 gives 0.5 plus the half
    width of the null interval.
    """
    if members < 1 or non_members < 1:
        return 1.0
    error = math.sqrt((members + non_members + 1) / (12 * members * non_members))
    return min(1.0, 0.5 + float(norm.ppf(1 - alpha / 2) + norm.ppf(power)) * error)
