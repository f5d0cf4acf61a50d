"""A run that chooses among public images: every stage of its model, and refusals before a patient is read."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from fedgen.errors import StudyError
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.pipeline.pretrained_start import given_start, keep_start
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.synthesis.synthesize import synthesize
from fedgen_privacy.ledger import Ledger

PHANTOM = {"patients": 60, "seed": 7, "components": 4, "donors": 60}


@pytest.fixture
def study(tiny_study):
    """`study(donors=60, **sections)`: the family on a prior of phantoms."""

    def build(donors=60, **sections):
        model = {"family": "candidates", "candidates": {"latent_size": 3}}
        return tiny_study(model={**model, "prior": {"phantom": {**PHANTOM, "donors": donors}}}, **sections)

    return build


@pytest.mark.parametrize("mode", ["none", "local"])
def test_a_run_releases_images_of_the_prior_alone(study, tiny_site, tmp_path, mode) -> None:
    asked = study(privacy={"mode": mode})
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    keep_start(run, given_start(asked, None))
    recipe = Recipe.of(asked).on_frozen(run.pretrained)
    sites = [
        Site(recipe, tiny_site(name), run.site(name), None, roster_size=2) for name in ("north", "south")
    ]
    done = train(recipe, DirectExchange(sites), PlainAggregator(recipe.mechanism.vector.length), run)
    rows = list(Ledger(run.site("north") / "ledger.jsonl"))
    (row,) = rows
    assert (row.spend is None) == (mode == "none")
    networks = recipe.networks(done.checkpoint.ema)
    made = synthesize(recipe.family, networks, asked.synthesis, ("none", "lesion"), recipe.task, seed=1)
    public = networks["candidates"].images
    same = (made.images[:, None] == public[None]).flatten(2).all(dim=2)
    assert same.sum(dim=1).tolist() == [1] * 8
    assert len(same.int().argmax(dim=1).unique()) == 8
    assert any("public image of the prior" in each for each in recipe.family.remarks(networks))
    # The model that is kept is the classes alone, none of the images.
    assert done.checkpoint.model.numel() == 2 + 2 * 14 + 14 * 14 + 2
    assert torch.equal(public, recipe.start.prior.donors)


def test_a_prior_without_enough_images_is_refused_when_the_run_is_made(study) -> None:
    with pytest.raises(StudyError, match=r"holds 19 public images, but .* at least 20 .*model\.prior"):
        given_start(study(donors=19), None)


def test_a_study_without_a_prior_cannot_be_written(tiny_study) -> None:
    with pytest.raises(ValidationError, match="prior is missing, and candidates cannot do without one"):
        tiny_study(model={"family": "candidates"})
