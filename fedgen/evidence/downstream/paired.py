"""Paired tests of two scores on the same patients: DeLong's with whole patients as its units, and the bootstrap's."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def auc_influence(scores: FloatArray, positive: NDArray[np.bool_]) -> tuple[float, FloatArray]:
    """AUC, and how much each image moves it: DeLong's placements (1988), centred, over the images of its side.

    Args:
        scores: (n,).
        positive: (n,) of both kinds.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    together = rankdata(scores)
    within = np.empty(len(scores))
    within[positive], within[~positive] = rankdata(scores[positive]), rankdata(scores[~positive])
    others = together - within
    area = float(others[positive].sum() / (m * n))
    moved = np.where(positive, others / n - area, (m - others) / m - area)
    return area, moved / np.where(positive, m, n)


def delong_p(
    scores: FloatArray, others: FloatArray, positive: NDArray[np.bool_], patients: IntArray
) -> float:
    """Two-sided p-value of "both scores have one AUC" (DeLong et al. 1988; units are patients, Obuchowski 1997).

    Args:
        scores, others: (n,) of the same images.
        positive: (n,).
        patients: (n,); one may have images of both kinds.

    Returns:
        1 where the two rank all images alike.
    """
    (one, moved), (other, moved_other) = auc_influence(scores, positive), auc_influence(others, positive)
    _, owner = np.unique(patients, return_inverse=True)
    sums = np.bincount(owner, weights=moved - moved_other)
    units = len(sums)
    variance = float(units / (units - 1) * (sums**2).sum()) if units > 1 else math.inf
    if variance == 0:
        return 1.0 if one == other else 0.0
    return float(2 * norm.sf(abs(one - other) / math.sqrt(variance)))


def bootstrap_p(differences: FloatArray) -> float:
    """Two-sided p-value of "the difference is 0": twice the smaller share of (R,) replicates on either side of it.

    The replicate that the data are counts on both sides, so that p is never below 2 / (R + 1) (Davison and Hinkley
    1997, section 4.2).
    """
    known = differences[np.isfinite(differences)]
    below, above = int((known <= 0).sum()), int((known >= 0).sum())
    return min(1.0, 2 * (1 + min(below, above)) / (1 + len(known)))
