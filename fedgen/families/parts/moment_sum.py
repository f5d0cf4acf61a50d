"""The one sum of a family that reads moments: each patient's vector, and what the network makes of their mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from fedgen.families.contract import Apply, Draws, Statistic
from fedgen.families.parts.mistakes import ShareForgotten, Unclipped, Unscaled
from fedgen.families.parts.moments import Layout, Moments
from fedgen.task.records import Records


class Learner(nn.Module, ABC):
    """A network that maps images (n, C, *size) to points (n, d) without parameters, and is made of their moments."""

    @abstractmethod
    def learn(self, moments: Moments) -> None:
        """Take what follows from the moments as the model."""


class MomentSum(Statistic):
    """Shares, mean points and second moments of the classes; `moments` derives the bound of a patient's vector.

    Args:
        layout: of the vector.
        network: name of the `Learner`.
    """

    name = "moments"

    def __init__(self, layout: Layout, network: str) -> None:
        self.layout, self.network = layout, network
        self.length = layout.length

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """Nothing."""
        return {}

    def vectors(self, networks: Mapping[str, Apply], records: Records, draws: Draws) -> Tensor:
        """(B, length) vectors of patients, each the mean over her images and of L2 norm at most 1."""
        images, weights = records.fields["image"], records.weights["patient"]
        B, M = weights.shape
        z = networks[self.network](images.flatten(0, 1)).reshape(B, M, -1)
        return self.layout.vectors(z, records.fields["class"], weights)

    def mistakes(self) -> dict[str, Statistic]:
        """A clip, a share and, of second moments, a scale that somebody forgot."""
        kinds: dict[str, type[Layout]] = {"missing clip": Unclipped, "share not counted": ShareForgotten}
        if self.layout.upper:
            kinds["second moment unscaled"] = Unscaled
        old = self.layout
        layouts = {what: kind(old.classes, old.d, old.options, old.centres) for what, kind in kinds.items()}
        return {what: MomentSum(layout, self.network) for what, layout in layouts.items()}

    def advance(self, networks: Mapping[str, nn.Module], means: Tensor, noise: float) -> dict[str, nn.Module]:
        """What the network makes of the mean of the samples, in place."""
        moments = self.layout.moments(means.mean(dim=0), noise / len(means) ** 0.5)
        cast(Learner, networks[self.network]).learn(moments)
        return dict(networks)
