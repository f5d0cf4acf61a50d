"""The trained networks, and how well they know an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedgen.evidence.measure import Score
from fedgen.families.contract import Family
from fedgen.families.parts.adapters import merge
from fedgen.recipe import Recipe
from fedgen.task.records import one_image_each


def trained_networks(recipe: Recipe, weights: Tensor, device: str) -> dict[str, nn.Module]:
    """The family's networks with `weights` (P,), in eval mode on `device`; adapters become part of their layers.

    Raises:
        FederationError: the weights do not fit the family or are not finite.
        DataError: the family has adapters, and the weights beneath them are not at hand.
    """
    networks = recipe.networks(weights)
    merge(networks)
    return {name: network.eval().to(device) for name, network in networks.items()}


def membership_score(family: Family, networks: dict[str, nn.Module], device: str, seed: int) -> Score:
    """The loss attack's score of images (n, C, *size) with labels (n,), on the CPU."""

    def score(images: Tensor, labels: Tensor) -> Tensor:
        # The same noise for every image, so that differences between scores are differences between images.
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            records = one_image_each({"image": images.to(device), "class": labels.to(device)})
            return family.score(networks, records, rng).cpu()

    return score
