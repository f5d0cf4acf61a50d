"""Class means in the latent space of a public prior, from one private sum (no gradients).

DP-SGD spends a small cohort's privacy on thousands of noisy numbers, many times. Here what can be known without the
patients, how images of a kind differ, is a public prior, and the patients are asked once for the few numbers that
cannot: how the classes differ. What follows the sum is post-processing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from fedgen.families.contract import Family, Statistic
from fedgen.families.latent.network import NEIGHBOURS, LatentImages
from fedgen.families.latent.options import LatentOptions
from fedgen.families.parts.centres import centres_of
from fedgen.families.parts.moment_sum import MomentSum
from fedgen.families.parts.moments import Layout
from fedgen.families.parts.sampling import CHUNK, decode_in_chunks, device_of
from fedgen.priors.analytic import analytic
from fedgen.priors.prior import Prior
from fedgen.task.records import Records
from fedgen.task.task import Task


class LatentFamily(Family):
    """One network, one statistic."""

    def __init__(self, task: Task, options: LatentOptions) -> None:
        self.names, self.classes = task.classes, len(task.classes)
        self.d = options.latent_size
        self.options = options
        self._stand_on(analytic(task.image.shape, self.d))

    def on(self, prior: Prior) -> LatentFamily:
        """The family in the space of the prior's first components, with the texture of its donors.

        Raises:
            StudyError: it has fewer.
        """
        other = copy.copy(self)
        other._stand_on(prior.first(self.d))
        return other

    def _stand_on(self, prior: Prior) -> None:
        self.prior = prior
        with torch.no_grad():
            parts = [prior.space.encode(part) for part in prior.donors.split(CHUNK) if len(part)]
        centres = centres_of(torch.cat([torch.zeros(0, self.d), *parts]), self.options.components)
        self.statistic = MomentSum(Layout(self.classes, self.d, self.options, centres), "latent")

    def networks(self) -> dict[str, nn.Module]:
        """`latent`."""
        return {"latent": LatentImages(self.prior, self.statistic.layout).eval()}

    def contributions(self) -> tuple[Statistic, ...]:
        """The one sum."""
        return (self.statistic,)

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Images of latents drawn from the Gaussian of their class, (n, C, *size) float32 in [-1, 1]."""
        network: Any = networks["latent"]
        device = device_of(network)
        noise = torch.randn(n, self.d, generator=rng, device=rng.device)
        which = torch.randint(NEIGHBOURS, (n,), generator=rng, device=rng.device)
        z = network.placed(noise.to(device), network.component(given["class"].to(device), rng))
        return decode_in_chunks(network.decode, z, which.to(device), device).to(rng.device)

    def remarks(self, networks: Mapping[str, nn.Module]) -> tuple[str, ...]:
        """Which classes are as good as unknown."""
        return tuple(
            f"What was measured of the class {name} could be noise for the most part, since too few patients have it "
            "or none: its images show the public prior and what all patients have in common."
            for name in cast(LatentImages, networks["latent"]).unknown(self.names)
        )

    @torch.no_grad()
    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """Mean log density of each record's clipped latents, (B,)."""
        network: Any = networks["latent"]
        images, weights = records.fields["image"], records.weights["patient"]
        z = self.statistic.layout.kept(network(images.flatten(0, 1)))
        density = network.density_of_class(z, records.fields["class"].flatten())
        return (weights * density.reshape(weights.shape)).sum(dim=1).float()
