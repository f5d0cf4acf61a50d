"""Public candidates with their features, which never change, and the Gaussians of the classes, which are the model."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from fedgen.families.candidates.choice import probabilities
from fedgen.families.candidates.responses import RESPONSES, responses
from fedgen.families.parts.class_gaussians import ClassGaussians
from fedgen.families.parts.estimate import estimated
from fedgen.families.parts.moments import Layout, Moments
from fedgen.families.parts.sampling import CHUNK
from fedgen.priors.prior import Prior

#: Images of no content by whose features others are measured where a prior has none, and their texture.
STAND_INS, TEXTURE = 64, 0.1


class Candidates(ClassGaussians):
    """Candidates by class.

    They and the prior are in buffers, which no message and no checkpoint holds. Features are measured by their mean
    and spread over the candidates. Before any patient was asked the classes are all alike.

    Args:
        prior: its donors are the candidates, of which there may be none; its latents are among the features.
        layout: of a patient's vector, of d = `features_of(...)` numbers an image.
    """

    images: Tensor
    centre: Tensor
    scale: Tensor
    points: Tensor

    def __init__(self, prior: Prior, layout: Layout) -> None:
        super().__init__(layout.classes, layout.d, max(1, layout.groups))
        # Of its own, since it moves with the network to another device.
        self.space = copy.deepcopy(prior.space)
        self.register_buffer("images", prior.donors)
        self.register_buffer("centre", torch.zeros(layout.d))
        self.register_buffer("scale", torch.ones(layout.d))
        with torch.no_grad():
            known = self._features(prior.donors if len(prior.donors) else _stand_ins(prior)).double()
            spread = known.std(dim=0)
            # A feature that is the same in all of them tells them apart by rounding alone.
            spread = torch.where(spread > 1e-4 * known.abs().amax(dim=0).clamp_min(1e-4), spread, torch.inf)
            self.centre.copy_(known.mean(dim=0))
            self.scale.copy_(spread)
            self.register_buffer("points", layout.clipped(self._features(prior.donors)))

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, d) of images (n, C, *size), in standard deviations of the candidates."""
        found = torch.cat([responses(images), self.space.encode(images)], dim=1)
        return (found - self.centre.to(found.dtype)) / self.scale.to(found.dtype)

    def learn(self, moments: Moments) -> None:
        """Take the Gaussians that the moments hold as the model, with the candidates' covariance if they have none."""
        points = self.points.double().cpu()
        public = torch.cov(points.mT) if len(points) > 1 else torch.eye(points.shape[1], dtype=torch.float64)
        self.put(estimated(moments, public))

    def _features(self, images: Tensor) -> Tensor:
        """`forward` in pieces, also of no image."""
        return torch.cat(
            [
                self.centre.new_zeros(0, len(self.centre)),
                *(self(part) for part in images.split(CHUNK) if len(part)),
            ]
        )

    def probabilities(self) -> Tensor:
        """(n, K) float64, p(class | candidate) of each candidate."""
        labels = torch.arange(len(self.shares), device=self.shares.device)
        each = [self.log_density(self.points, label.expand(len(self.points))) for label in labels]
        return probabilities(torch.stack(each, dim=1), self.shares.detach().double())


def features_of(channels: int, latent_size: int) -> int:
    """d, numbers of an image."""
    return channels * RESPONSES + latent_size


def _stand_ins(prior: Prior) -> Tensor:
    """Waves of the prior with some texture, the same ones always."""
    rng = torch.Generator().manual_seed(0)
    smooth = prior.space.decode(torch.randn(STAND_INS, prior.d, generator=rng))
    return smooth + TEXTURE * torch.randn(smooth.shape, generator=rng)
