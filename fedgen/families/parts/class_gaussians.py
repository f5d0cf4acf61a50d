"""A network whose parameters are one Gaussian a class, read from one private sum: all that such a study sends."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedgen.families.parts.estimate import Gaussians, valid
from fedgen.families.parts.moment_sum import Learner

#: Share of what tells a class from the others that must be more than noise, or the class is called unknown.
KNOWN = 0.5


class ClassGaussians(Learner):
    """Shares, means, covariance and `known` of K classes of points of d numbers; before any sum, every class alike.

    Where numbers stand beside the images, also the slopes by which they move the mean of every class.

    Args:
        classes: K.
        d: numbers of a point.
        groups: of classes with a covariance of their own: 1 or K.
        numbers: p, beside an image.
    """

    slopes: Tensor | None

    def __init__(self, classes: int, d: int, groups: int = 1, numbers: int = 0) -> None:
        super().__init__()
        self.shares = nn.Parameter(torch.full((classes,), 1 / classes))
        self.means = nn.Parameter(torch.zeros(classes, d))
        self.covariance = nn.Parameter(torch.eye(d).repeat(groups, 1, 1))
        self.known = nn.Parameter(torch.zeros(classes))
        self.register_parameter("slopes", nn.Parameter(torch.zeros(d, numbers)) if numbers else None)

    def put(self, found: Gaussians) -> None:
        """Take these as the model."""
        with torch.no_grad():
            self.shares.copy_(found.shares)
            self.means.copy_(found.means)
            self.covariance.copy_(found.covariance)
            self.known.copy_(found.known)

    def middle(self, labels: Tensor, values: Tensor | None = None) -> Tensor:
        """Mean points (n, d) of the classes labels (n,) with these numbers (n, p) beside the images."""
        means = self.means.detach()[labels]
        if self.slopes is None or values is None:
            return means
        return means + values.to(means) @ self.slopes.detach().mT

    def placed(self, noise: Tensor, labels: Tensor, values: Tensor | None = None) -> Tensor:
        """Points (n, d) of the classes labels (n,), from standard normal numbers (n, d)."""
        return self.middle(labels, values) + torch.einsum(
            "nij,nj->ni", self._factors(labels).to(noise.dtype), noise
        )

    def _factors(self, labels: Tensor) -> Tensor:
        """(n, d, d) lower triangles L with L L^T the covariance of the class, float64.

        Made valid again: a model that came over a wire may hold any finite numbers.
        """
        factors = torch.linalg.cholesky(valid(self.covariance.detach().double()))
        return factors.expand(len(self.shares), -1, -1)[labels]

    def log_density(self, z: Tensor, labels: Tensor, values: Tensor | None = None) -> Tensor:
        """ln p(z | class, numbers), (n,) float64."""
        factors = self._factors(labels)
        away = (z - self.middle(labels, values)).double()
        standard = torch.linalg.solve_triangular(factors, away[:, :, None], upper=False)
        size = 2 * factors.diagonal(dim1=1, dim2=2).log().sum(dim=1) + z.shape[1] * math.log(2 * math.pi)
        return -0.5 * (standard.square().sum(dim=(1, 2)) + size)

    def unknown(self, names: Sequence[str]) -> tuple[str, ...]:
        """Of these names of the classes, those of which what was measured could be noise for the most part."""
        if len(names) < 2:
            return ()
        return tuple(name for name, share in zip(names, self.known.tolist(), strict=True) if share < KNOWN)
