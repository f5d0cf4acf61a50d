"""A federation in this process: the code that a real one runs, with its charges, noise and secure aggregation."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.federation.coordinator.aggregation import Aggregator, PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import keyholder, roster
from fedgen.pipeline.model import trained_networks
from fedgen.pipeline.pretrained_start import given_start, keep_start, refuse_same_patients
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.study.study import Study


@dataclass(frozen=True)
class Made:
    """A model and images drawn from it.

    Attributes:
        images: as many of each class.
        model: (P,) the vector that the coordinator ends with.
        seconds: of a core, that the training took at all sites and the coordinator together.
    """

    images: LabelledImages
    model: Tensor
    seconds: float


def make(
    study: Study, sites: list[SiteData], folder: Path, prior: Path | None, images: int, seed: int
) -> Made:
    """Train and draw; a training that was killed goes on, and its folder is gone when it is done.

    Args:
        study: of the federation.
        sites: all that take part.
        folder: of the run.
        prior: its file, where the study names one.
        images: how many are drawn.
        seed: of the drawing; the noise of privacy is the machine's own and never repeated.
    """
    started = time.process_time()
    recipe, model = trained(study, sites, folder, prior)
    seconds = time.process_time() - started
    labels = torch.arange(images) % len(recipe.task.classes)
    rng = torch.Generator().manual_seed(seed)
    networks = trained_networks(recipe, model, study.training.device)
    drawn = recipe.family.sample(networks, {"class": labels}, images, rng)
    shutil.rmtree(folder)
    return Made(LabelledImages(drawn, labels), model, seconds)


def trained(study: Study, sites: list[SiteData], folder: Path, prior: Path | None) -> tuple[Recipe, Tensor]:
    """The study's recipe and the model after its last round."""
    run = RunDirectory(folder)
    run.path.mkdir(parents=True, exist_ok=True)
    start = given_start(study, prior)
    refuse_same_patients(study, None if start is None else start.origin, [site.site for site in sites])
    keep_start(run, start)
    recipe = Recipe.of(study).on_frozen(run.pretrained)
    secure = study.aggregation.secure
    names = roster({site.site: run.site(site.site) for site in sites})
    here = []
    for site in sites:
        own = run.site(site.site)
        holder = keyholder(recipe, names, site.site, own) if secure else None
        here.append(Site(recipe, site, own, holder, roster_size=len(sites)))
    plain = PlainAggregator(recipe.mechanism.vector.length)
    aggregator: Aggregator = SecureAggregator(recipe, names) if secure else plain
    return recipe, train(recipe, DirectExchange(here), aggregator, run).checkpoint.ema


def networks_of(study: Study, model: Tensor, prior: Path | None) -> tuple[Recipe, dict[str, nn.Module]]:
    """The networks with a model that was kept."""
    recipe = Recipe.of(study)
    recipe = recipe if prior is None else recipe.on_frozen(prior)
    return recipe, trained_networks(recipe, model, study.training.device)


def decides(study: Study) -> dict[str, Any]:
    """What of a study decides its model, without what stands at its default: that is told by the code."""
    sections = {"data", "model", "training", "privacy", "aggregation"}
    return study.model_dump(mode="json", include=sections, exclude_defaults=True)
