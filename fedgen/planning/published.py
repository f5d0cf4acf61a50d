"""A recipe with published results, as the point to compare a plan with.

DPDM on MNIST (Dockhorn, Cao, Vahdat, Kreis: Differentially Private Diffusion Models, TMLR 2023, table 1): FID 5.01
and a classifier's accuracy of 97.3 % at epsilon 10, with 60 000 images in one place, batch 4096 and 300 epochs. The
network, the steps, epsilon and delta are those of the preset `mnist_gpu`; its noise is calibrated as any study's.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedgen.mechanisms.contract import SitePlan
from fedgen.planning.signal import Signal, signals
from fedgen.recipe import Recipe
from fedgen.study.load import load_study

PRESET = "mnist_gpu"
FAMILY = "diffusion"
#: The paper's setting has one site, with nobody to be hidden among.
PAPER = ("training.batch_patients=4096", "aggregation.secure=false", "aggregation.minimum_sites=1")
IMAGES = 60_000
DESCRIPTION = "DPDM on MNIST (Dockhorn et al. 2023: FID 5.01 and 97.3 % accuracy at epsilon 10)"


@dataclass(frozen=True)
class PublishedRecipe:
    """The recipe's plan and its signal to noise."""

    plan: SitePlan
    signal: Signal


def reference() -> PublishedRecipe:
    """The recipe, planned by the same functions as every study."""
    study = load_study(PRESET, PAPER)
    recipe = Recipe.of(study)
    plan = recipe.mechanism.plan(IMAGES, "reference")
    (only,) = signals(recipe, plan, 1)
    return PublishedRecipe(plan, only)
