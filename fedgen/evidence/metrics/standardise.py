"""One scale for all features, set by real images alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

#: a feature whose standard deviation is below this share of its magnitude counts as constant
CONSTANT = 1e-6


@dataclass(frozen=True)
class Standardiser:
    """Drops features that are constant over the real reference and z-scores the others with its statistics.

    Without it the Frechet distance would be that of the one feature with the largest unit. A feature
    that real images never vary in cannot be scaled; synthetic images that do vary in it go unnoticed.

    Attributes:
        keep: (num_features,) bool.
        mean: (kept,) float64.
        std: (kept,) float64, positive.
    """

    keep: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, real: Tensor) -> Self:
        """Statistics of (n, num_features) features of real images, n >= 2."""
        real = real.double()
        mean, std = real.mean(dim=0), real.std(dim=0)
        keep = std > CONSTANT * (1 + mean.abs())
        return cls(keep, mean[keep], std[keep])

    def __call__(self, features: Tensor) -> Tensor:
        """(n, num_features) -> (n, kept) float64."""
        return (features.double()[:, self.keep] - self.mean) / self.std

    @property
    def dimensions(self) -> int:
        """Number of features kept."""
        return int(self.mean.numel())
