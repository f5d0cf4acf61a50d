"""Public images, chosen and labelled by one private sum (no gradients, and no image of the program's own making).

What a lesion is that is small and anywhere no linear space of pixels can say, but a public image that shows one can be
drawn, if only it is known which do. That is what the patients are asked: the mean public features of each class, once.
What follows the sum is post-processing: a linear discriminant (Fisher 1936) gives every public image its probability
of each class, and images of a class are drawn from the surest.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from fedgen.errors import StudyError
from fedgen.families.candidates.choice import drawn, surest
from fedgen.families.candidates.network import Candidates, features_of
from fedgen.families.candidates.options import CandidatesOptions
from fedgen.families.contract import Attack, Family, Statistic
from fedgen.families.parts.given_groups import GivenGroups
from fedgen.families.parts.moment_sum import MomentSum
from fedgen.families.parts.moments import Layout
from fedgen.families.parts.sampling import device_of
from fedgen.priors.analytic import analytic
from fedgen.priors.prior import Prior
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task

#: Public images a class that a prior must hold.
LEAST = 10

PUBLIC = (
    "Every image is a public image of the prior, chosen and labelled by one private sum: nothing in it was drawn, and "
    "what the prior does not hold is not here."
)


class CandidatesFamily(Family):
    """One network, one statistic."""

    #: All at once, since only then is none drawn twice that need not be.
    batch = sys.maxsize

    def __init__(self, task: Task, options: CandidatesOptions) -> None:
        self.task, self.given, self.options = task, GivenGroups(task), options
        self.names = self.given.names
        self.prior = analytic(task.stack.shape, options.latent_size)
        self.layout = Layout(len(self.names), features_of(task.stack.channels, options.latent_size), options)
        self.statistic = MomentSum(self.layout, "candidates", task)

    def on(self, prior: Prior) -> CandidatesFamily:
        """The family with the prior's donors as its candidates.

        Raises:
            StudyError: it has too few of them, or fewer components than are among the features.
        """
        least = LEAST * len(self.names)
        if len(prior.donors) < least:
            raise StudyError(
                f"The prior holds {len(prior.donors)} public images, but the family candidates chooses among at least "
                f"{least} (model.prior, {LEAST} a class): build it with more donors."
            )
        other = copy.copy(self)
        other.prior = prior.first(self.options.latent_size)
        return other

    def networks(self) -> dict[str, nn.Module]:
        """`candidates`; without a prior that has some it can be counted and summed for, but not drawn from."""
        return {"candidates": Candidates(self.prior, self.layout).eval()}

    def contributions(self) -> tuple[Statistic, ...]:
        """The one sum."""
        return (self.statistic,)

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Public images of the given classes, (n, C, *size) float32 in [-1, 1].

        Raises:
            StudyError: there are none.
        """
        network = cast(Candidates, networks["candidates"])
        if not len(network.images):
            raise StudyError(
                "The family candidates has no public images to choose from: name a prior with donors (model.prior)."
            )
        labels = self.given.labels(given, torch.zeros(n, device=rng.device))
        probability = network.probabilities()
        which = torch.zeros(n, dtype=torch.int64, device=rng.device)
        for label in labels.unique().tolist():
            wanted = int((labels == label).sum())
            pool = surest(probability[:, label], self.options.confident, wanted)
            which[labels == label] = drawn(pool, wanted, rng)
        return network.images[which.to(device_of(network))].float().to(rng.device)

    def remarks(self, networks: Mapping[str, nn.Module]) -> tuple[str, ...]:
        """That the images are public ones, and which classes are as good as unknown."""
        network = cast(Candidates, networks["candidates"])
        return PUBLIC, *(
            f"What was measured of the class {name} could be noise for the most part, since too few patients have it "
            "or none: its images are public ones chosen almost at random."
            for name in network.unknown(self.names)
        )

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """Mean log density of each record's clipped features under its class, (B,)."""
        network = cast(Candidates, networks["candidates"])
        images, weights = stacked(self.task, records.fields), records.weights["patient"]
        z = self.layout.clipped(network(images.flatten(0, 1)))
        density = network.log_density(z, self.given.labels(records.fields, weights).flatten())
        return (weights * density.reshape(weights.shape)).sum(dim=1).float()

    def attacks(self) -> Mapping[str, Attack]:
        """The density, and how far the released mean lies where the record does."""
        return {"loss": self.score, "alignment": self._alignment}

    def _alignment(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """Inner product of each record's clipped features with the released mean of its class, (B,)."""
        network = cast(Candidates, networks["candidates"])
        images, weights = stacked(self.task, records.fields), records.weights["patient"]
        z = self.layout.clipped(network(images.flatten(0, 1)))
        product = (z * network.middle(self.given.labels(records.fields, weights).flatten())).sum(dim=1)
        return (weights * product.reshape(weights.shape)).sum(dim=1).float()
