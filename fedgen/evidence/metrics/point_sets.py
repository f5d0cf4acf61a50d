"""What is measured of two sets of points: pure functions of features, distances and owners.

Where distances are between images, those of one patient are not each other's neighbours: images of a patient are alike,
and would make any set of real patients look unlike every other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Neighbours of precision, recall, density and coverage (Naeem et al. 2020, section 5.1).
NEIGHBOURS = 5
#: Bandwidths of the kernel, times the median distance; each is half the next one.
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
#: Directions of the sliced distance.
DIRECTIONS = 64
FOLDS = 5
#: Penalty of the classifier on z-scored features.
RIDGE = 10.0


def squared_distances(x: FloatArray, y: FloatArray) -> FloatArray:
    """(n, m) squared Euclidean distances of (n, d) and (m, d)."""
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None, :] - 2 * x @ y.T
    return np.clip(squares, 0, None)


def rbf_kernel(squares: FloatArray, median: float) -> FloatArray:
    """Mean of Gaussian kernels exp(-d^2 / (2 s^2)) over BANDWIDTHS times a median distance (Gretton et al. 2012)."""
    # Each width is half the next one, so that each kernel is the fourth power of the next: one exponential for all.
    each: FloatArray = np.exp(-squares / (2 * (BANDWIDTHS[-1] * median) ** 2))
    total = each.copy()
    for _ in BANDWIDTHS[1:]:
        each *= each
        each *= each
        total += each
    return total / len(BANDWIDTHS)


def polynomial_kernel(x: FloatArray) -> FloatArray:
    """KID's kernel (x y / d + 1)^3 of (n, d) points with each other (Binkowski et al. 2018)."""
    base: FloatArray = x @ x.T / x.shape[1] + 1
    # A power of floats takes ten times as long as two products.
    return base * base * base


def mmd(kernel: FloatArray, i: IntArray, j: IntArray) -> float:
    """Unbiased squared maximum mean discrepancy of two sets (Gretton et al. 2012, lemma 6); may be negative.

    Args:
        kernel: (N, N) of all points.
        i, j: positions of either set, of two points at least.
    """

    def within(k: IntArray) -> float:
        block = kernel[np.ix_(k, k)]
        return float(block.sum() - np.trace(block)) / (len(k) * (len(k) - 1))

    return within(i) + within(j) - 2 * float(kernel[np.ix_(i, j)].mean())


def mmd_p(kernel: FloatArray, i: IntArray, j: IntArray, permutations: int, seed: int) -> float:
    """P-value of "both sets are of one distribution": the share of random labellings with an MMD at least as large.

    Exact for points that are independent, so of one image a patient. The labelling that was found counts as one.

    Args:
        kernel: (N, N).
        i, j: positions of either set.
        permutations: random labellings.
        seed: of them.
    """
    both = np.concatenate([i, j])
    block = kernel[np.ix_(both, both)]
    n, m = len(i), len(j)
    rng = np.random.default_rng(seed)
    first = np.zeros((permutations + 1, n + m))
    first[0, :n] = 1
    for row in first[1:]:
        row[rng.permutation(n + m)[:n]] = 1
    diagonal, whole = np.diag(block), block.sum(axis=1)
    inner = np.einsum("rp,rp->r", first @ block, first)
    cross = first @ whole - inner
    outer = block.sum() - inner - 2 * cross
    own = first @ diagonal
    found = (inner - own) / (n * (n - 1)) + (outer - (diagonal.sum() - own)) / (m * (m - 1))
    found = found - 2 * cross / (n * m)
    return float(np.mean(found >= found[0] - 1e-12))


def directions(d: int, seed: int) -> FloatArray:
    """(d, DIRECTIONS) random unit vectors."""
    drawn = np.random.default_rng(seed).normal(size=(d, DIRECTIONS))
    return drawn / np.linalg.norm(drawn, axis=0)


def sliced_wasserstein(x: FloatArray, y: FloatArray) -> float:
    """Mean Wasserstein-1 distance of two sets along directions (Rabin et al. 2012; Bonneel et al. 2015).

    Args:
        x, y: (n, directions) equally many projected points.
    """
    return float(np.abs(np.sort(x, axis=0) - np.sort(y, axis=0)).mean())


def nearest_neighbour_accuracy(squares: FloatArray, owners: IntArray, i: IntArray, j: IntArray) -> float:
    """Leave-one-out accuracy of telling two sets apart by the nearest point of another owner (Lopez-Paz, Oquab 2017).

    0.5 where they cannot be told apart; below it where points of one set crowd about those of the other, as copies do.

    Args:
        squares: (N, N) squared distances.
        owners: (N,).
        i, j: positions of equally many points.
    """
    both = np.concatenate([i, j])
    block = squares[np.ix_(both, both)].copy()
    block[owners[both][:, None] == owners[both][None, :]] = np.inf
    label = np.arange(len(both)) < len(i)
    return float(np.mean(label[block.argmin(axis=1)] == label))


def classifier_auroc(points: FloatArray, owners: IntArray, i: IntArray, j: IntArray) -> float:
    """AUROC of a ridge classifier that tells two sets apart, on owners that it has not seen (Lopez-Paz and Oquab 2017).

    0.5 where it cannot. Scores are ranked within each of the folds, which have classifiers of their own.

    Args:
        points: (N, d) z-scored features.
        owners: (N,); those of a fold are left out together.
        i, j: positions of either set.
    """
    both = np.concatenate([i, j])
    x, label, owner = points[both], np.where(np.arange(len(both)) < len(i), 1.0, -1.0), owners[both]
    fold = _folds(owner, label)
    won, pairs = 0.0, 0.0
    for k in range(FOLDS):
        out = fold == k
        mean = x[~out].mean(axis=0)
        known, asked = x[~out] - mean, x[out] - mean
        weights = np.linalg.solve(
            known.T @ known + RIDGE * np.eye(x.shape[1]), known.T @ (label[~out] - label[~out].mean())
        )
        positive = label[out] > 0
        p, q = int(positive.sum()), int((~positive).sum())
        if p and q:
            ranks = rankdata(asked @ weights)
            won += ranks[positive].sum() - p * (p + 1) / 2
            pairs += p * q
    return float(won / pairs) if pairs else float("nan")


def _folds(owner: IntArray, label: FloatArray) -> IntArray:
    """(n,) the fold of each point: owners of either set are dealt out in turn, in the order of their numbers."""
    fold = np.empty(len(owner), np.int64)
    for side in (1.0, -1.0):
        own = label == side
        _, number = np.unique(owner[own], return_inverse=True)
        fold[own] = number % FOLDS
    return fold


def precision_recall_density_coverage(
    squares: FloatArray, owners: IntArray, real: IntArray, made: IntArray, k: int = NEIGHBOURS
) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    A point's ball reaches to its k-th nearest point of the same set that is another owner's.

    Args:
        squares: (N, N) squared distances.
        owners: (N,).
        real, made: positions of either set.
        k: fewer where there are fewer others.
    """
    cross = squares[np.ix_(real, made)]
    of_real, of_made = _radii(squares, owners, real, k), _radii(squares, owners, made, k)
    in_real = cross <= of_real[:, None]
    return {
        "precision": float(in_real.any(axis=0).mean()),
        "recall": float((cross <= of_made[None, :]).any(axis=1).mean()),
        "density": float(in_real.sum(axis=0).mean() / k),
        "coverage": float(in_real.any(axis=1).mean()),
    }


def _radii(squares: FloatArray, owners: IntArray, own: IntArray, k: int) -> FloatArray:
    block = squares[np.ix_(own, own)].copy()
    block[owners[own][:, None] == owners[own][None, :]] = np.inf
    ordered = np.sort(block, axis=1)
    others = np.isfinite(ordered).sum(axis=1)
    last = np.clip(np.minimum(k, others) - 1, 0, None)
    radii: FloatArray = ordered[np.arange(len(own)), last]
    return np.where(others > 0, radii, 0.0)
