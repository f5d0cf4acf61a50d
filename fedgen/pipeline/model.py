"""The trained networks, and how well they know an image."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from fedgen.data.site_data import SiteData
from fedgen.evidence.measure import Score
from fedgen.evidence.translating import Translating
from fedgen.families.contract import Attack
from fedgen.families.parts.adapters import merge
from fedgen.recipe import Recipe
from fedgen.synthesis.translate import translator, translator_back
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


def translating(recipe: Recipe, networks: dict[str, nn.Module], device: str) -> Translating:
    """A trained translation, as its measures ask it."""
    study, family = recipe.study, recipe.family
    return Translating(
        task=recipe.task,
        needed=needed_sources(recipe),
        make=translator(family, networks, device, study.study.seed),
        back=translator_back(family, networks, device, study.study.seed),
        mask_classes=() if study.data.columns.mask is None else study.data.mask_classes,
    )


def needed_sources(recipe: Recipe) -> tuple[str, ...]:
    """The sources of a translation that every patient must have; without pairs, each is one of its own."""
    data = recipe.study.data
    optional = set(data.contrasts) - set(data.needed) if data.paired else set()
    return tuple(source.name for source in recipe.task.sources if source.name not in optional)


def membership_attacks(
    recipe: Recipe, networks: dict[str, nn.Module], device: str, seed: int
) -> dict[str, Score]:
    """The family's attacks on a site's images by name, (n,) or (n, signs) each on the CPU."""

    def score(attack: Attack, data: SiteData) -> Tensor:
        # The same noise for every image, so that differences between scores are differences between images.
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            records = tree_map(lambda tensor: tensor.to(device), one_record_each(recipe.task, data))
            return attack(networks, records, rng).cpu()

    return {name: partial(score, attack) for name, attack in recipe.family.attacks().items()}
