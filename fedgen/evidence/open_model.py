"""The model behind a release as who has all of it can use it: its networks, its losses, its sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from fedgen.data.site_data import SiteData
from fedgen.families.contract import Attack
from fedgen.recipe import Recipe
from fedgen.training.task_records import one_record_each
from fedgen_privacy.gradients.tree import tree_map

#: score(images of a site, n of them) -> (n,), or (n, k) of several signs whose mean is judged; higher means more likely
#: a training image
Score = Callable[[SiteData], Tensor]


@dataclass(frozen=True, eq=False)
class OpenModel:
    """A trained model from inside.

    Attributes:
        recipe: of its study.
        networks: by name, in eval mode on `device`.
        device: torch device.
    """

    recipe: Recipe
    networks: Mapping[str, nn.Module]
    device: str

    def attacks(self) -> dict[str, Score]:
        """The family's membership attacks by name, on the CPU, with the noise that the study's seed gives."""
        return {name: partial(self._score, attack) for name, attack in self.recipe.family.attacks().items()}

    def _score(self, attack: Attack, data: SiteData) -> Tensor:
        # The same noise for every image, so that differences between scores are differences between images.
        rng = torch.Generator().manual_seed(self.recipe.study.study.seed)
        with torch.no_grad():
            records = tree_map(lambda tensor: tensor.to(self.device), one_record_each(self.recipe.task, data))
            return attack(self.networks, records, rng).cpu()
