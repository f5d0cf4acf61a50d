"""Vector-quantised autoencoder (van den Oord et al. 2017) with a transformer or a diffusion over its codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fedgen.families.contract import Attack, Family, Objective
from fedgen.families.parts import sampling
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.minus_loss import minus_loss
from fedgen.families.parts.sampling import device_of
from fedgen.families.vq.code_prior import CodePrior, by_diffusion, one_by_one
from fedgen.families.vq.networks import Grids, QuantisedAutoencoder
from fedgen.families.vq.objectives import CodeLikelihood, Reconstruction
from fedgen.families.vq.options import VQOptions
from fedgen.task.records import Records
from fedgen.task.task import Task

#: Draws an image in a membership score, of what diffusion hides.
MEMBERSHIP_DRAWS = 8


class VQFamily(Family):
    """Two networks, two objectives that read data."""

    def __init__(self, task: Task, options: VQOptions) -> None:
        self.task = task
        self.options = options
        self.grids = Grids.of(task.stack, options)
        self.reconstruction = Reconstruction(task, options)
        self.likelihood = CodeLikelihood(task, options)

    def networks(self) -> dict[str, nn.Module]:
        """`vq` and `prior`."""
        o = self.options
        return {
            "vq": QuantisedAutoencoder(self.task.stack, o).eval(),
            "prior": CodePrior(self.grids.allowed(o.codes), self.task.condition_width, o).eval(),
        }

    def contributions(self) -> tuple[Objective, ...]:
        """The autoencoder's, then the prior's."""
        return (self.reconstruction, self.likelihood)

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Images of codes drawn from the prior, (n, C, *size) float32 in [-1, 1]."""
        prior: Any = networks["prior"]
        device, L = device_of(prior), sum(self.grids.places)
        uniform = torch.rand(n, L, generator=rng, device=rng.device)
        order = torch.rand(n, L, generator=rng, device=rng.device)
        condition = condition_of(self.task, given, uniform[:, 0])
        parts = []
        for u, o, y in zip(*(t.split(sampling.CHUNK) for t in (uniform, order, condition)), strict=True):
            codes = self._codes(prior, *(t.to(device) for t in (y, u, o)))
            parts.append(self._decoded(networks["vq"], codes).float().to(uniform.device))
        return torch.cat(parts)

    def _codes(self, prior: CodePrior, condition: Tensor, uniform: Tensor, order: Tensor) -> Tensor:
        if self.options.prior == "transformer":
            return one_by_one(prior, condition, uniform)
        return by_diffusion(prior, condition, uniform, order, self.options.prior_steps)

    @staticmethod
    def _decoded(vq: Any, codes: Tensor) -> Tensor:
        images: Tensor = vq.decode(codes)
        return images

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """ln p(x | codes) + ln p(codes) a pixel, (B,), without its constant: the two losses as one likelihood."""
        scores = [
            minus_loss(objective, networks, records, K=MEMBERSHIP_DRAWS, chunk=16, rng=rng)
            for objective in (self.reconstruction, self.likelihood)
        ]
        pixels = torch.Size(self.task.stack.shape).numel()
        return scores[0] + scores[1] * sum(self.grids.places) / pixels

    def attacks(self) -> Mapping[str, Attack]:
        """Both losses as one, and the autoencoder's alone: how an image comes back."""
        return {"loss": self.score, "reconstruction": self._reconstruction}

    def _reconstruction(
        self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator
    ) -> Tensor:
        """Minus the autoencoder's loss, (B,), in which nothing is random."""
        return minus_loss(self.reconstruction, networks, records, K=1, chunk=16, rng=rng)
