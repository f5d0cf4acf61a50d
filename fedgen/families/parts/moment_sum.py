"""The one sum of a family that reads moments: each patient's vector, and what the network makes of their mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from fedgen.families.contract import Apply, Draws, Statistic
from fedgen.families.parts.given_groups import GivenGroups
from fedgen.families.parts.mistakes import (
    NumbersUnbounded,
    ProductsUnshared,
    ShareForgotten,
    Unclipped,
    Unscaled,
)
from fedgen.families.parts.moments import Layout, Moments
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task


class Learner(nn.Module, ABC):
    """A network that maps images (n, C, *size) to points (n, d) without parameters, and is made of their moments."""

    @abstractmethod
    def learn(self, moments: Moments) -> None:
        """Take what follows from the moments as the model."""


class MomentSum(Statistic):
    """Shares, mean points and second moments of the groups; `moments` derives the bound of a patient's vector.

    Args:
        layout: of the vector.
        network: name of the `Learner`.
        task: whose pictures, all that it makes, are mapped to points, and by whose conditions they are grouped.
    """

    name = "moments"

    def __init__(self, layout: Layout, network: str, task: Task) -> None:
        self.layout, self.network, self.task = layout, network, task
        self.given = GivenGroups(task)
        self.length = layout.length

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """Nothing."""
        return {}

    def vectors(self, networks: Mapping[str, Apply], records: Records, draws: Draws) -> Tensor:
        """(B, length) vectors of patients, each the mean over her images and of L2 norm at most 1."""
        images, weights = stacked(self.task, records.fields), records.weights["patient"]
        B, M = weights.shape
        z = networks[self.network](images.flatten(0, 1)).reshape(B, M, -1)
        labels, values = (
            self.given.labels(records.fields, weights),
            self.given.values(records.fields, z[..., 0]),
        )
        return self.layout.vectors(z, labels, weights, values)

    def mistakes(self) -> dict[str, Statistic]:
        """A clip, a share and, of second moments and of numbers beside the images, a scale that somebody forgot."""
        kinds: dict[str, type[Layout]] = {"missing clip": Unclipped, "share not counted": ShareForgotten}
        if self.layout.upper:
            kinds["second moment unscaled"] = Unscaled
        if self.layout.numbers:
            kinds |= {"covariates unbounded": NumbersUnbounded, "products unshared": ProductsUnshared}
        old = self.layout
        layouts = {
            what: kind(old.classes, old.d, old.options, old.centres, old.numbers)
            for what, kind in kinds.items()
        }
        return {what: MomentSum(layout, self.network, self.task) for what, layout in layouts.items()}

    def advance(self, networks: Mapping[str, nn.Module], means: Tensor, noise: float) -> dict[str, nn.Module]:
        """What the network makes of the mean of the samples, in place."""
        moments = self.layout.moments(means.mean(dim=0), noise / len(means) ** 0.5)
        cast(Learner, networks[self.network]).learn(moments)
        return dict(networks)
