"""Classification scores with image weights, for many weightings at once.

A bootstrap replicate is a vector of weights (how often each image was drawn), so that all replicates
of a score are a few array operations. Point values come from scikit-learn; tests hold both together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import recall_score, roc_auc_score

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


def balanced_accuracy(labels: IntArray, probabilities: FloatArray) -> float:
    """Mean recall of the classes present, for the most probable class; arguments as for `auroc`."""
    predicted = probabilities.argmax(axis=1)
    # balanced_accuracy_score is this very mean, but warns of predicted classes without a true image.
    return float(recall_score(labels, predicted, labels=np.unique(labels), average="macro"))


def weighted_auroc(labels: IntArray, probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    """`auroc` under each row of (R, n) weights; shape (R,). Every class present needs positive weight."""
    return np.mean([_binary(labels == c, probabilities[:, c], weights) for c in np.unique(labels)], axis=0)


def _binary(positive: NDArray[np.bool_], scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted Mann-Whitney statistic: share of positive-negative pairs in order, ties counting half."""
    order = np.argsort(scores, kind="stable")
    ties = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    # One row an image, so that sorting moves whole rows and sums run over rows.
    drawn = weights.T[order]
    pos = np.add.reduceat(drawn * positive[order, None], ties, axis=0)
    neg = np.add.reduceat(drawn, ties, axis=0) - pos
    below = np.cumsum(neg, axis=0) - neg / 2
    return (pos * below).sum(axis=0) / (pos.sum(axis=0) * neg.sum(axis=0))


def weighted_balanced_accuracy(
    labels: IntArray, probabilities: FloatArray, weights: FloatArray
) -> FloatArray:
    """`balanced_accuracy` under each row of (R, n) weights; shape (R,)."""
    correct = probabilities.argmax(axis=1) == labels
    recalls = [
        (weights @ (own & correct).astype(float)) / (weights @ own.astype(float))
        for own in (labels == c for c in np.unique(labels))
    ]
    return np.mean(recalls, axis=0)
