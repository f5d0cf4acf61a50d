"""The trained networks, and how well they know an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedgen.data.site_data import SiteData
from fedgen.evidence.measure import Score
from fedgen.families.parts.adapters import merge
from fedgen.recipe import Recipe
from fedgen.training.task_records import one_record_each
from fedgen_privacy.gradients.tree import tree_map


def trained_networks(recipe: Recipe, weights: Tensor, device: str) -> dict[str, nn.Module]:
    """The family's networks with `weights` (P,), in eval mode on `device`; adapters become part of their layers.

    Raises:
        FederationError: the weights do not fit the family or are not finite.
        DataError: the family has adapters, and the weights beneath them are not at hand.
    """
    networks = recipe.networks(weights)
    merge(networks)
    return {name: network.eval().to(device) for name, network in networks.items()}


def membership_score(recipe: Recipe, networks: dict[str, nn.Module], device: str, seed: int) -> Score:
    """The loss attack's score of a site's images, (n,) on the CPU."""

    def score(data: SiteData) -> Tensor:
        # The same noise for every image, so that differences between scores are differences between images.
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            records = tree_map(lambda tensor: tensor.to(device), one_record_each(recipe.task, data))
            return recipe.family.score(networks, records, rng).cpu()

    return score
