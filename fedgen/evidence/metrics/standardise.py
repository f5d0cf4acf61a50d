"""One scale for all features, set by real images alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

#: A feature whose standard deviation is below this share of the median one is not counted.
DEAD = 0.2
#: And one below this share of its magnitude is constant.
CONSTANT = 1e-6


@dataclass(frozen=True)
class Standardiser:
    """Drops features that hardly vary over the real reference and z-scores the others with its statistics.

    Without it the Frechet distance would be that of the one feature with the largest unit. But a z-score divides by
    the spread: a channel that is silent in nearly all real images would weigh more than all others together wherever
    it wakes, and real images would be far from real images. So features of one unit whose spread is below `DEAD`
    times the median spread are dropped as well. Synthetic images that differ from real ones in a dropped feature
    alone go unnoticed, so the number of dropped features stands beside the distance.

    Attributes:
        keep: (num_features,) bool.
        mean: (kept,) float64.
        std: (kept,) float64, positive.
    """

    keep: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, real: Tensor, *, one_unit: bool) -> Self:
        """Statistics of (n, num_features) features of real images, n >= 2.

        Args:
            real: the features.
            one_unit: whether the features' spreads can be compared with each other.
        """
        real = real.double()
        mean, std = real.mean(dim=0), real.std(dim=0)
        keep = std > CONSTANT * (1 + mean.abs())
        if one_unit and bool(keep.any()):
            keep = keep & (std >= DEAD * std[keep].median())
        return cls(keep, mean[keep], std[keep])

    def __call__(self, features: Tensor) -> Tensor:
        """(n, num_features) -> (n, kept) float64."""
        return (features.double()[:, self.keep] - self.mean) / self.std

    @property
    def dimensions(self) -> int:
        """Number of features kept."""
        return int(self.mean.numel())
