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

    def vectors(self, z: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Too long for a patient with images of several classes."""
        right = super().vectors(z, labels, weights)
        K, d = self.kinds, self.d
        sums, shares, upper = right.split([K * d, K, self.upper], dim=1)
        each = shares[:, :, None] / self.weights[1]
        means = sums.unflatten(1, (K, d)) / torch.where(each > 0, each, 1.0)
        return torch.cat([means.flatten(1), shares, upper], dim=1)


class Unscaled(Layout):
    """Second moments in the units of the latents, not over the square of the norm that they are clipped to."""

    def vectors(self, z: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Too long for a latent near the clip."""
        right = super().vectors(z, labels, weights)
        first = self.kinds * (self.d + 1)
        return torch.cat([right[:, :first], right[:, first:] * self.reach**2], dim=1)
