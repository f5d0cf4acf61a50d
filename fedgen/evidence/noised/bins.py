"""Bins of a score, with edges that are public: made of synthetic images, never of a patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Few, since each count of each bin has the whole noise.
BINS = 6
#: Share of all counts in one bin from which on the bins do not tell scores apart.
CROWDED = 0.9


def edges_of(scores: FloatArray) -> FloatArray:
    """(BINS - 1,) rising edges that part these scores evenly; equal ones leave a bin empty."""
    return np.quantile(scores, np.arange(1, BINS) / BINS)


def edges_about(scores: FloatArray, middle: float) -> FloatArray:
    """(BINS - 1,) rising edges, one of them `middle`, that part the scores on each side of it evenly.

    A side without scores is parted as if they lay evenly between `middle` and 0 or 1.
    """
    half = BINS // 2
    steps = np.arange(1, half) / half
    below, above = scores[scores < middle], scores[scores >= middle]
    lower = np.quantile(below, steps) if below.size else steps * middle
    upper = np.quantile(above, steps) if above.size else middle + steps * (1 - middle)
    return np.concatenate([lower, [middle], upper])


def shares_of(scores: FloatArray, edges: FloatArray) -> FloatArray:
    """(BINS,) share of the scores in each bin; scores that are not finite are in none."""
    found = np.bincount(
        np.searchsorted(edges, scores[np.isfinite(scores)], side="right"), minlength=len(edges) + 1
    )
    shares: FloatArray = found / max(scores.size, 1)
    return shares


def crowded(counts: FloatArray) -> bool:
    """Whether nearly all of these noised counts are in one bin."""
    return float(counts.max()) > CROWDED * max(float(counts.sum()), 1e-9)
