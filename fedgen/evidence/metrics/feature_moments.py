"""The Frechet distance from summed moments: sites' sums add up, and the distance of the sum is that of all images.

Sum and sum of outer products of features are all that a Gaussian needs, so a distance of images in several places
needs no image and no feature in one place. They are numbers about patients all the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureMoments:
    """First and second moments of n feature vectors.

    Attributes:
        n: how many; 2 at least for a covariance.
        total: (d,) sum.
        outer: (d, d) sum of outer products.
    """

    n: int
    total: FloatArray
    outer: FloatArray

    @staticmethod
    def of(features: FloatArray, weights: FloatArray | None = None) -> FeatureMoments:
        """Of (n, d) features; of each as much as its weight, (n,) of sum n, says."""
        x = features.astype(np.float64)
        w = np.ones(len(x)) if weights is None else weights
        return FeatureMoments(len(x), w @ x, x.T @ (w[:, None] * x))

    def __add__(self, other: FeatureMoments) -> FeatureMoments:
        return FeatureMoments(self.n + other.n, self.total + other.total, self.outer + other.outer)

    @property
    def mean(self) -> FloatArray:
        """(d,)."""
        return self.total / self.n

    @property
    def covariance(self) -> FloatArray:
        """(d, d), unbiased."""
        return (self.outer - np.outer(self.total, self.total) / self.n) / (self.n - 1)

    def packed(self) -> FloatArray:
        """The d + d (d + 1) / 2 sums as one vector: the total, then the upper triangle of the outer products."""
        return np.concatenate([self.total, self.outer[np.triu_indices(len(self.total))]])

    @staticmethod
    def unpacked(n: int, numbers: FloatArray) -> FeatureMoments:
        """The moments of so many vectors behind `packed` numbers.

        Raises:
            ValueError: no d has so many numbers.
        """
        d = (math.isqrt(9 + 8 * len(numbers)) - 3) // 2
        if d + d * (d + 1) // 2 != len(numbers):
            raise ValueError(f"{len(numbers)} numbers are the moments of no dimension")
        upper = np.zeros((d, d))
        upper[np.triu_indices(d)] = numbers[d:]
        return FeatureMoments(n, np.asarray(numbers[:d], np.float64), upper + np.triu(upper, 1).T)


def frechet(a: FeatureMoments, b: FeatureMoments) -> float:
    """Squared Frechet distance of the Gaussians with these moments (Heusel et al. 2017, FID); 2 vectors each at least.

    |m_a - m_b|^2 + tr(A + B - 2 (A^(1/2) B A^(1/2))^(1/2)); by eigenvalues, which rounding cannot make complex.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ b.covariance @ root), 0, None)).sum()
    away = float(((a.mean - b.mean) ** 2).sum())
    return max(0.0, away + float(np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross))
