"""The decoder: a public prior that never changes, and the Gaussians of the classes, which are the model."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from fedgen.families.parts.estimate import Gaussians, estimated, valid
from fedgen.families.parts.moment_sum import Learner
from fedgen.families.parts.moments import Moments
from fedgen.families.parts.sampling import CHUNK
from fedgen.priors.prior import Prior

#: Donors of texture among which a sample's is drawn: its nearest in the latent space.
NEIGHBOURS = 8


class LatentImages(Learner):
    """Images by class.

    The prior is in buffers, which no message and no checkpoint holds; shares, means, covariance and `known` are the
    parameters. Before any patient was asked they are those of the prior: every class alike.

    Args:
        prior: its first d components are the latent space.
        classes: K.
    """

    textures: Tensor
    donors: Tensor

    def __init__(self, prior: Prior, classes: int) -> None:
        super().__init__()
        d, donors = prior.d, prior.donors
        # Of its own, since it moves with the network to another device.
        self.space = copy.deepcopy(prior.space)
        with torch.no_grad():
            z = torch.cat([torch.zeros(0, d), *(self.space.encode(part) for part in donors.split(CHUNK))])
            left = [self.space.residuals(part) for part in donors.split(CHUNK)]
        self.register_buffer("textures", torch.cat([donors[:0], *left]))
        self.register_buffer("donors", z)
        self.shares = nn.Parameter(torch.full((classes,), 1 / classes))
        self.means = nn.Parameter(torch.zeros(classes, d))
        self.covariance = nn.Parameter(torch.eye(d))
        self.known = nn.Parameter(torch.zeros(classes))

    def forward(self, images: Tensor) -> Tensor:
        """Latents (n, d) of images (n, C, *size)."""
        z: Tensor = self.space.encode(images)
        return z

    def learn(self, moments: Moments) -> None:
        """Take the Gaussians that the moments hold as the model."""
        self.put(estimated(moments))

    def put(self, found: Gaussians) -> None:
        """Take these as the model."""
        with torch.no_grad():
            self.shares.copy_(found.shares)
            self.means.copy_(found.means)
            self.covariance.copy_(found.covariance)
            self.known.copy_(found.known)

    def placed(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Latents (n, d) of the classes labels (n,), from standard normal numbers (n, d)."""
        # In float64, and made valid again: a model that came over a wire may hold any finite numbers.
        factor = torch.linalg.cholesky(valid(self.covariance.detach().double())).to(noise.dtype)
        return self.means.detach()[labels] + noise @ factor.mT

    def decode(self, z: Tensor, which: Tensor) -> Tensor:
        """Images (n, C, *size) in [-1, 1] of latents z (n, d); texture of the near donor of that rank (n,)."""
        images = self.space.decode(z)
        if len(self.donors):
            near = torch.cdist(z, self.donors).topk(min(NEIGHBOURS, len(self.donors)), largest=False).indices
            images = images + self.textures[near.gather(1, (which % near.shape[1])[:, None]).squeeze(1)]
        return images.clamp(-1, 1)

    def log_density(self, z: Tensor, labels: Tensor) -> Tensor:
        """ln p(z | class), (n,)."""
        covariance = valid(self.covariance.detach().double())
        factor = torch.linalg.cholesky(covariance)
        away = (z - self.means.detach()[labels]).double()
        standard = torch.linalg.solve_triangular(factor, away.mT, upper=False)
        size = 2 * factor.diagonal().log().sum() + z.shape[1] * math.log(2 * math.pi)
        return -0.5 * (standard.square().sum(dim=0) + size)
