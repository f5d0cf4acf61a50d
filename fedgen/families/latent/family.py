"""Means in the latent space of a public prior, from one private sum (no gradients).

DP-SGD spends a small cohort's privacy on thousands of noisy numbers, many times. Here what can be known without the
patients, how images of a kind differ, is a public prior, and the patients are asked once for the few numbers that
cannot: how the classes differ, and how they move with what else is known of a patient, such as an age. What follows the
sum is post-processing. A mask is more channels of the image.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from fedgen.families.contract import Attack, Family, Statistic
from fedgen.families.latent.network import NEIGHBOURS, LatentImages
from fedgen.families.latent.options import LatentOptions
from fedgen.families.parts.centres import centres_of
from fedgen.families.parts.given_groups import GivenGroups
from fedgen.families.parts.moment_sum import MomentSum
from fedgen.families.parts.moments import Layout
from fedgen.families.parts.sampling import CHUNK, decode_in_chunks, device_of
from fedgen.priors.analytic import analytic
from fedgen.priors.prior import Prior
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task


class LatentFamily(Family):
    """One network, one statistic."""

    def __init__(self, task: Task, options: LatentOptions) -> None:
        self.task, self.given = task, GivenGroups(task)
        self.d = options.latent_size
        self.options = options
        self._stand_on(analytic(task.stack.shape, self.d))

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
        layout = Layout(len(self.given.names), self.d, self.options, centres, self.given.numbers)
        self.statistic = MomentSum(layout, "latent", self.task)

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
        labels, values = self.given.labels(given, noise[:, 0]), self.given.values(given, noise[:, 0])
        z = network.placed(noise.to(device), network.component(labels.to(device), rng), values.to(device))
        return decode_in_chunks(network.decode, z, which.to(device), device).to(rng.device)

    def remarks(self, networks: Mapping[str, nn.Module]) -> tuple[str, ...]:
        """Which classes are as good as unknown."""
        return tuple(
            f"What was measured of the class {name} could be noise for the most part, since too few patients have it "
            "or none: its images show the public prior and what all patients have in common."
            for name in cast(LatentImages, networks["latent"]).unknown(self.given.names)
        )

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """Mean log density of each record's clipped latents, (B,)."""
        network: Any = networks["latent"]
        images, weights = stacked(self.task, records.fields), records.weights["patient"]
        z = self.statistic.layout.kept(network(images.flatten(0, 1)))
        values = self.statistic.layout.bounded(self.given.values(records.fields, weights))
        labels = self.given.labels(records.fields, weights)
        density = network.density_of_class(z, labels.flatten(), values.flatten(0, 1))
        return (weights * density.reshape(weights.shape)).sum(dim=1).float()

    def attacks(self) -> Mapping[str, Attack]:
        """The density, and how far the released mean lies where the record does."""
        return {"loss": self.score, "alignment": self._alignment}

    def _alignment(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """Inner product of each record's clipped latents with the released mean, from the public centre, (B,)."""
        network, layout = cast(LatentImages, networks["latent"]), self.statistic.layout
        images, weights = stacked(self.task, records.fields), records.weights["patient"]
        z = network(images.flatten(0, 1))
        which = layout.centres.nearest(z)
        near = layout.centres.points.to(z)[which]
        values = layout.bounded(self.given.values(records.fields, weights)).flatten(0, 1)
        kinds = self.given.labels(records.fields, weights).flatten() * len(layout.centres.points) + which
        product = (layout.clipped(z - near) * (network.middle(kinds, values) - near)).sum(dim=1)
        return (weights * product.reshape(weights.shape)).sum(dim=1).float()
