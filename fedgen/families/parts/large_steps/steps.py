"""What the two players of a large step say: the UNet of the noiseless image, the discriminator of a pair of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.families.contract import Apply
from fedgen.families.parts.conditioning import one_hot
from fedgen.families.parts.denoising.edm import denoise, precondition
from fedgen.families.parts.large_steps.step_levels import LargeSteps

#: Names of the networks.
GENERATOR, CRITIC = "generator", "critic"


@dataclass(frozen=True)
class GivenRows:
    """What R rows are given: `condition` (R, width), and pictures `seen` (R, S, *size) or None."""

    condition: Tensor
    seen: Tensor | None


@dataclass(frozen=True)
class Players:
    """Both networks, called with what they read.

    Attributes:
        networks: by name.
        steps: the noise levels.
        sigma_data: standard deviation of the data, of EDM's scaling.
    """

    networks: Mapping[str, Apply]
    steps: LargeSteps
    sigma_data: float

    def noiseless(self, x_t: Tensor, t: Tensor, z: Tensor, row: GivenRows) -> Tensor:
        """G(x_t, z, t), an x_0 (R, ...) for latents z (R, latent_size) at steps t (R,).

        In EDM's frame, so that an untrained UNet already is a linear denoiser.
        """
        y = torch.cat([row.condition.to(z.dtype), z], dim=1)
        c = precondition(self.steps.sigma(t, x_t), self.sigma_data)
        return denoise(
            lambda x, level: self.networks[GENERATOR](x, level, y, row.seen), self.steps.scaled(x_t, t), c
        )

    def verdict(self, before: Tensor, x_t: Tensor, t: Tensor, row: GivenRows) -> Tensor:
        """D(x_{t-1}, x_t, t), logits (R, patches) of the pair being of a patient."""
        beside = [before, x_t] if row.seen is None else [before, x_t, row.seen]
        told = torch.cat([row.condition.to(x_t.dtype), one_hot(t - 1, self.steps.count, x_t.dtype)], dim=1)
        features: list[Tensor] = self.networks[CRITIC](torch.cat(beside, dim=1), told)
        return features[-1].flatten(1)
