"""Does each of several guesses resemble its own truth more than chance has it? A permutation test of who is whose."""

from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np
from numpy.typing import NDArray


def own_similarity(similarity: NDArray[np.float64]) -> float:
    """Mean similarity of a guess to its own truth, above that to all truths, of an (n, n) matrix of guess by truth.

    Raises:
        ValueError: the matrix is not square or not finite.
    """
    _check(similarity)
    return float(similarity.diagonal().mean() - similarity.mean())


def identified(similarity: NDArray[np.float64]) -> int:
    """Guesses that resemble their own truth most, once how alike a truth is to every guess is taken away.

    Raises:
        ValueError: as `own_similarity`.
    """
    _check(similarity)
    relative = similarity - similarity.mean(axis=0, keepdims=True)
    return int((relative.argmax(axis=1) == np.arange(len(relative))).sum())


def matching_p(similarity: NDArray[np.float64], draws: int, rng: np.random.Generator) -> float:
    """One-sided p-value against "a guess has nothing to do with whose it is": whole truths are exchanged.

    All orders are gone through where there are no more than `draws`, else as many are drawn, the observed one added.
    What a guess has in common with all truths, or a truth with all guesses, is in every order alike.

    Raises:
        ValueError: as `own_similarity`.
    """
    _check(similarity)
    n = len(similarity)
    rows = np.arange(n)
    observed = similarity.diagonal().sum() - 1e-9 * np.abs(similarity).sum()
    if factorial(n) <= draws:
        sums = [similarity[rows, list(order)].sum() for order in permutations(range(n))]
        return float(np.mean(np.array(sums) >= observed))
    orders = rng.permuted(np.tile(rows, (draws, 1)), axis=1)
    sums = similarity[rows, orders].sum(axis=1)
    return float((1 + np.sum(sums >= observed)) / (1 + draws))


def _check(similarity: NDArray[np.float64]) -> None:
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1] or not similarity.size:
        raise ValueError(f"similarities {similarity.shape} are not of as many guesses as truths")
    if not np.isfinite(similarity).all():
        raise ValueError("similarities must be finite")
