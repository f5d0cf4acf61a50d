"""First-order features: the histogram of gray values (the names follow IBSI, Zwanenburg et al. 2020)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]

#: bins of the histogram over [0, 1] behind entropy and uniformity
BINS = 32
PERCENTILES = (5, 25, 50, 75, 95)
NAMES = (
    "mean",
    "std",
    "skewness",
    "kurtosis",
    "minimum",
    "maximum",
    *(f"percentile_{p}" for p in PERCENTILES),
    "interquartile_range",
    "mean_absolute_deviation",
    "root_mean_square",
    "entropy",
    "uniformity",
)


def moments(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Skewness and excess kurtosis of each row of (n, k) values; 0 where a row is constant.

    As `scipy.stats.skew` and `kurtosis`, whose care for missing values takes ten times as long as the sums.
    """
    away = values - values.mean(axis=1, keepdims=True)
    squares = away**2
    variance = squares.mean(axis=1)
    varies = np.sqrt(variance) > 1e-6
    known = np.where(varies, variance, 1.0)
    skewness = np.einsum("nk,nk->n", squares, away) / values.shape[1] / known**1.5
    kurtosis = np.einsum("nk,nk->n", squares, squares) / values.shape[1] / known**2 - 3
    return np.where(varies, skewness, 0.0), np.where(varies, kurtosis, 0.0)


def first_order(gray: FloatArray) -> FloatArray:
    """First-order features of (n, H, W) images in [0, 1]; shape (n, len(NAMES))."""
    values = gray.reshape(len(gray), -1)
    skewness, kurtosis = moments(values)
    percentiles = np.percentile(values, PERCENTILES, axis=1)
    mean = values.mean(axis=1)
    p = histograms(values)
    return np.stack(
        [
            mean,
            values.std(axis=1),
            skewness,
            kurtosis,
            values.min(axis=1),
            values.max(axis=1),
            *percentiles,
            percentiles[3] - percentiles[1],
            np.abs(values - mean[:, None]).mean(axis=1),
            np.sqrt((values**2).mean(axis=1)),
            stats.entropy(p, base=2, axis=1),
            (p**2).sum(axis=1),
        ],
        axis=1,
    )


def histograms(values: FloatArray) -> FloatArray:
    """Shares of each row of (n, k) values in [0, 1] in `BINS` equal bins; shape (n, BINS)."""
    n, k = values.shape
    bins = np.clip((values * BINS).astype(np.int64), 0, BINS - 1)
    counts = np.bincount((bins + BINS * np.arange(n)[:, None]).ravel(), minlength=n * BINS)
    return counts.reshape(n, BINS) / k
