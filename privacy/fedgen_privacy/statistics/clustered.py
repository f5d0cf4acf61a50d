"""Intervals of proportions and means whose observations come in clusters, such as several readers of one image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom, t

Vector = NDArray[np.float64]


def clustered_proportion(successes: Vector, trials: Vector, alpha: float) -> tuple[float, float]:
    """Two-sided interval of level 1 - alpha of a share (Korn and Graubard 1998).

    Clopper and Pearson's with the effective number of trials: the trials over the design effect, which is the variance
    of the share between clusters over that of independent trials, and no less than 1. Where all trials agree no
    variance can be seen, and the clusters count as the trials. With one trial a cluster it is Clopper and Pearson's.

    Args:
        successes: (k,) in each cluster.
        trials: (k,) in each cluster, at least 1.
        alpha: 1 - confidence.

    Raises:
        ValueError: no cluster, or impossible counts.
    """
    if (
        not trials.size
        or bool((trials < 1).any())
        or bool((successes < 0).any() or (successes > trials).any())
    ):
        raise ValueError("a cluster has at least one trial, and no more successes than trials")
    n, clusters = float(trials.sum()), trials.size
    share = float(successes.sum()) / n
    if share in (0.0, 1.0) or clusters < 2:
        effective = float(clusters)
    else:
        residuals = successes - share * trials
        variance = clusters / (clusters - 1) * float(np.sum(residuals**2)) / n**2
        effective = n / max(1.0, variance / (share * (1 - share) / (n - 1)))
    found = share * effective
    low = 0.0 if found <= 0 else float(beta.ppf(alpha / 2, found, effective - found + 1))
    high = 1.0 if found >= effective else float(beta.ppf(1 - alpha / 2, found + 1, effective - found))
    return low, high


def clustered_mean(values: Vector, clusters: NDArray[np.int64], alpha: float) -> tuple[float, float, float]:
    """Mean and its interval of level 1 - alpha by Student's t over clusters, whose sums are the independent units.

    Returns:
        the mean, and its limits; they are infinite where there is one cluster.

    Raises:
        ValueError: no value.
    """
    if not values.size:
        raise ValueError("a mean needs at least one value")
    mean = float(values.mean())
    _, inverse = np.unique(clusters, return_inverse=True)
    sums = np.bincount(inverse, weights=values - mean)
    units = sums.size
    if units < 2:
        return mean, -math.inf, math.inf
    error = math.sqrt(units / (units - 1) * float(np.sum(sums**2))) / values.size
    half = float(t.ppf(1 - alpha / 2, units - 1)) * error
    return mean, mean - half, mean + half


def smallest_share_above_half(trials: int, alpha: float, power: float = 0.8) -> float:
    """Least share that an exact one-sided test against one half finds with this power; 1 where none is found."""
    least = int(binom.isf(alpha, trials, 0.5)) + 1
    if least > trials:
        return 1.0
    # P(X >= least) at a share p is the distribution of beta(least, trials - least + 1) at p.
    return float(beta.ppf(power, least, trials - least + 1))
