"""The trained networks, as audits and measures ask them."""

from __future__ import annotations

from torch import Tensor, nn

from fedgen.evidence.measure import AuditedModel
from fedgen.evidence.open_model import OpenModel
from fedgen.evidence.translating import Translating
from fedgen.families.parts.adapters import merge
from fedgen.recipe import Recipe
from fedgen.synthesis.translate import translator, translator_back


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


def audited_model(
    recipe: Recipe, networks: dict[str, nn.Module], device: str, epsilon: float | None
) -> AuditedModel:
    """A trained model as its audits attack it; `epsilon` is what its patients were promised, None without privacy."""
    inside = OpenModel(recipe, networks, device)
    return AuditedModel(inside.attacks(), epsilon, recipe.study.privacy.delta, inside)
