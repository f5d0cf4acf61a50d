"""The decoder: a public prior that never changes, and the Gaussians of the classes, which are the model."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from fedgen.families.parts.class_gaussians import ClassGaussians
from fedgen.families.parts.estimate import estimated
from fedgen.families.parts.moments import Moments
from fedgen.families.parts.sampling import CHUNK
from fedgen.priors.prior import Prior

#: Donors of texture among which a sample's is drawn: its nearest in the latent space.
NEIGHBOURS = 8


class LatentImages(ClassGaussians):
    """Images by class.

    The prior is in buffers, which no message and no checkpoint holds. Before any patient was asked the classes are
    those of the prior: all alike.

    Args:
        prior: its first d components are the latent space.
        classes: K.
        groups: see `ClassGaussians`.
    """

    textures: Tensor
    donors: Tensor

    def __init__(self, prior: Prior, classes: int, groups: int = 1) -> None:
        super().__init__(classes, prior.d, groups)
        d, donors = prior.d, prior.donors
        # Of its own, since it moves with the network to another device.
        self.space = copy.deepcopy(prior.space)
        with torch.no_grad():
            z = torch.cat([torch.zeros(0, d), *(self.space.encode(part) for part in donors.split(CHUNK))])
            left = [self.space.residuals(part) for part in donors.split(CHUNK)]
        self.register_buffer("textures", torch.cat([donors[:0], *left]))
        self.register_buffer("donors", z)

    def forward(self, images: Tensor) -> Tensor:
        """Latents (n, d) of images (n, C, *size)."""
        z: Tensor = self.space.encode(images)
        return z

    def learn(self, moments: Moments) -> None:
        """Take the Gaussians that the moments hold as the model; public latents have variance 1 along every axis."""
        self.put(estimated(moments, torch.eye(moments.sums.shape[1], dtype=torch.float64)))

    def decode(self, z: Tensor, which: Tensor) -> Tensor:
        """Images (n, C, *size) in [-1, 1] of latents z (n, d); texture of the near donor of that rank (n,)."""
        images = self.space.decode(z)
        if len(self.donors):
            near = torch.cdist(z, self.donors).topk(min(NEIGHBOURS, len(self.donors)), largest=False).indices
            images = images + self.textures[near.gather(1, (which % near.shape[1])[:, None]).squeeze(1)]
        return images.clamp(-1, 1)
