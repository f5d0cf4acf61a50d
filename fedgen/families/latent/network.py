"""The decoder: a public prior that never changes, and the Gaussians of the classes, which are the model."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedgen.families.parts.class_gaussians import KNOWN, ClassGaussians
from fedgen.families.parts.estimate import estimated
from fedgen.families.parts.moments import Layout, Moments
from fedgen.families.parts.regression import regressed
from fedgen.families.parts.sampling import CHUNK
from fedgen.priors.prior import Prior

#: Donors of texture among which a sample's is drawn: its nearest in the latent space.
NEIGHBOURS = 8


class LatentImages(ClassGaussians):
    """Images by class, which is one Gaussian or a mixture of them.

    The prior is in buffers, which no message and no checkpoint holds. Before any patient was asked the classes are
    those of the prior: all alike. Labels below are of a class and a centre together (`Layout.kinds`).

    Args:
        prior: its first d components are the latent space.
        layout: of a patient's vector.
    """

    textures: Tensor
    donors: Tensor

    def __init__(self, prior: Prior, layout: Layout) -> None:
        super().__init__(layout.kinds, prior.d, max(1, layout.groups), layout.numbers)
        self.layout = layout
        d, donors = prior.d, prior.donors
        with torch.no_grad():
            self.means.copy_(self._centres())
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
        """Take the Gaussians that the moments hold as the model, with the public covariance if they have none."""
        by_numbers = regressed(moments)
        found = estimated(by_numbers.rest, self.layout.centres.within - by_numbers.explained)
        self.put(replace(found, means=found.means + self._centres().double()))
        if self.slopes is not None:
            with torch.no_grad():
                self.slopes.copy_(by_numbers.slopes)

    def component(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        """For each class (n,) one of its Gaussians (n,), by their shares."""
        k = len(self.layout.centres.points)
        if k == 1:
            return labels
        shares = self.shares.detach().clamp_min(0).reshape(-1, k).to(rng.device)
        # A model that came over a wire may hold no share at all.
        shares = torch.where(shares.sum(dim=1, keepdim=True) > 0, shares, 1.0)
        drawn = torch.multinomial(shares[labels.to(rng.device)], 1, generator=rng)[:, 0]
        return labels * k + drawn.to(labels.device)

    def density_of_class(self, z: Tensor, labels: Tensor, values: Tensor | None = None) -> Tensor:
        """ln p(z | class, numbers) of classes (n,) and numbers (n, p), (n,) float64."""
        k = len(self.layout.centres.points)
        if k == 1:
            return self.log_density(z, labels, values)
        shares = self.shares.detach().double().clamp_min(1e-12).reshape(-1, k)
        weights = (shares / shares.sum(dim=1, keepdim=True)).log()[labels]
        each = [self.log_density(z, labels * k + c, values) for c in range(k)]
        return torch.logsumexp(torch.stack(each, dim=1) + weights, dim=1)

    def unknown(self, names: Sequence[str]) -> tuple[str, ...]:
        """Of these names of the classes, those whose Gaussians could be noise for the most part."""
        shares = self.shares.detach().clamp_min(0).reshape(len(names), -1)
        known = self.known.detach().reshape(len(names), -1)
        each = (shares * known).sum(dim=1) / shares.sum(dim=1).clamp_min(1e-12)
        if len(names) < 2:
            return ()
        return tuple(name for name, share in zip(names, each.tolist(), strict=True) if share < KNOWN)

    def _centres(self) -> Tensor:
        """(kinds, d)."""
        return self.layout.centres.points.repeat(self.layout.classes, 1)

    def decode(self, z: Tensor, which: Tensor) -> Tensor:
        """Images (n, C, *size) in [-1, 1] of latents z (n, d); texture of the near donor of that rank (n,)."""
        images = self.space.decode(z)
        if len(self.donors):
            near = torch.cdist(z, self.donors).topk(min(NEIGHBOURS, len(self.donors)), largest=False).indices
            images = images + self.textures[near.gather(1, (which % near.shape[1])[:, None]).squeeze(1)]
        return images.clamp(-1, 1)
