"""The moments with a mistake in each, for the self-test to notice: what the bound of `moments` rests on."""

from __future__ import annotations

import torch
from torch import Tensor

from fedgen.families.parts.moments import Layout


class Unclipped(Layout):
    """Latents of any norm."""

    def clipped(self, z: Tensor) -> Tensor:
        """The latents as they are."""
        return z


class ShareForgotten(Layout):
    """A class's mean latent as it is, not times the class's share."""

    def vectors(self, z: Tensor, labels: Tensor, weights: Tensor, values: Tensor | None = None) -> Tensor:
        """Too long for a patient with images of several classes."""
        right = super().vectors(z, labels, weights, values)
        K, d = self.kinds, self.d
        sums, shares, others = right.split([K * d, K, self.length - K * d - K], dim=1)
        each = shares[:, :, None] / self.weights[1]
        means = sums.unflatten(1, (K, d)) / torch.where(each > 0, each, 1.0)
        return torch.cat([means.flatten(1), shares, others], dim=1)


class Unscaled(Layout):
    """Second moments in the units of the latents, not over the square of the norm that they are clipped to."""

    def vectors(self, z: Tensor, labels: Tensor, weights: Tensor, values: Tensor | None = None) -> Tensor:
        """Too long for a latent near the clip."""
        sums, shares, upper, *others = super().vectors(z, labels, weights, values).split(self.parts, dim=1)
        return torch.cat([sums, shares, upper * self.reach**2, *others], dim=1)


class NumbersUnbounded(Layout):
    """Numbers beside the images of any size."""

    def bounded(self, values: Tensor) -> Tensor:
        """The numbers as they are."""
        return values


class ProductsUnshared(Layout):
    """Products with the numbers with the whole weight of what they share it with."""

    def vectors(self, z: Tensor, labels: Tensor, weights: Tensor, values: Tensor | None = None) -> Tensor:
        """Too long for numbers near their bound."""
        *others, X, C, Q = super().vectors(z, labels, weights, values).split(self.parts, dim=1)
        return torch.cat([*others, X * 2**0.5, C * 3**0.5, Q * 3**0.5], dim=1)
