"""Classification scores with image weights, for many weightings at once.

A bootstrap replicate is a vector of weights (how often each image was drawn), so that all replicates
of a score are a few array operations. Point values come from scikit-learn; tests hold both together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: (labels (n,), probabilities (n, K), weights (R, n)) -> (R,)
WeightedScore = Callable[[IntArray, FloatArray, FloatArray], FloatArray]


def auroc(labels: IntArray, probabilities: FloatArray) -> float:
    """Macro mean over the classes present of one-vs-rest AUROC; two classes of two give the usual AUROC.

    Args:
        labels: (n,) class index, of at least two classes.
        probabilities: (n, K).
    """
    return float(np.mean([roc_auc_score(labels == c, probabilities[:, c]) for c in np.unique(labels)]))


def weighted_auroc(labels: IntArray, probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    """`auroc` under each row of (R, n) weights; shape (R,). Every class present needs positive weight."""
    return np.mean([_binary(labels == c, probabilities[:, c], weights) for c in np.unique(labels)], axis=0)


def weighted_auroc_within(
    labels: IntArray, probabilities: FloatArray, weights: FloatArray, strata: IntArray
) -> FloatArray:
    """`weighted_auroc` over the pairs within a stratum alone: what is left of an AUROC once the stratum is known.

    Each class present counts over all strata's pairs of it with another class; macro mean over the classes that have
    such pairs. A stratum of one class has none (van Elteren 1960 weighs strata likewise).

    Args:
        labels, probabilities, weights: as for `weighted_auroc`.
        strata: (n,), such as the site of each image.

    Returns:
        (R,); NaN where a replicate has no pair.
    """
    areas = []
    for c in np.unique(labels):
        won, total = np.zeros(len(weights)), np.zeros(len(weights))
        for stratum in np.unique(strata):
            own = strata == stratum
            pairs = _pairs(labels[own] == c, probabilities[own, c], weights[:, own])
            won, total = won + pairs[0], total + pairs[1]
        areas.append(np.divide(won, total, out=np.full(len(weights), np.nan), where=total > 0))
    known = np.isfinite(areas)
    count = known.sum(axis=0)
    return np.divide(
        np.where(known, areas, 0).sum(axis=0), count, out=np.full(len(weights), np.nan), where=count > 0
    )


def _binary(positive: NDArray[np.bool_], scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted Mann-Whitney statistic: share of positive-negative pairs in order, ties counting half."""
    won, total = _pairs(positive, scores, weights)
    return won / total


def _pairs(
    positive: NDArray[np.bool_], scores: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weight of the positive-negative pairs in order, and of all."""
    order = np.argsort(scores, kind="stable")
    ties = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    # One row an image, so that sorting moves whole rows and sums run over rows.
    drawn = weights.T[order]
    pos = np.add.reduceat(drawn * positive[order, None], ties, axis=0)
    neg = np.add.reduceat(drawn, ties, axis=0) - pos
    below = np.cumsum(neg, axis=0) - neg / 2
    return (pos * below).sum(axis=0), pos.sum(axis=0) * neg.sum(axis=0)


def weighted_balanced_accuracy(
    labels: IntArray, probabilities: FloatArray, weights: FloatArray
) -> FloatArray:
    """Mean recall of the classes present, for the most probable class, under each row of (R, n) weights; shape (R,)."""
    correct = probabilities.argmax(axis=1) == labels
    recalls = [
        (weights @ (own & correct).astype(float)) / (weights @ own.astype(float))
        for own in (labels == c for c in np.unique(labels))
    ]
    return np.mean(recalls, axis=0)
