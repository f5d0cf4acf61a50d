"""The presets of every task: listed, planned and, on a few phantoms, trained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fedgen.cli.study import app, images_of, made_from, protection
from fedgen.data.prepare import prepare_sites
from fedgen.families.parts.conditioning import drawn_fields
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.pipeline.model import trained_networks
from fedgen.pipeline.pretrained_start import given_start, keep_start
from fedgen.planning.alternatives import alternatives
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.study import presets
from fedgen.study.load import load_study
from fedgen.training.task_records import fields_of

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "presets.md"
TASKS = ("demo_pairs", "demo_translation", "demo_volumes")
#: Three sites of few patients, each protecting its own.
FEW = (
    "data.phantom.sites=3", "data.phantom.patients=12", "training.rounds=2", "training.local_steps=1",
    "training.batch_patients=3", "privacy.mode=local", "privacy.sampling_rate=null", "privacy.delta=1e-2",
    "aggregation.secure=false", "aggregation.tolerated_dropouts=0",
)  # fmt: skip


def test_the_page_and_the_command_list_every_preset_as_it_is() -> None:
    studies = {name: load_study(name) for name in presets.names()}
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| `(\w+)` \| (.*?) \| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    assert rows == [
        (name, made_from(each), each.model.family, protection(each), images_of(each))
        for name, each in studies.items()
    ]
    printed = CliRunner().invoke(app, ["presets"], env={"COLUMNS": "200"}).output
    for row in rows:
        assert all(cell in printed for cell in row), row


@pytest.mark.parametrize("name", TASKS)
def test_there_is_a_preset_of_the_task_that_can_be_planned(name: str) -> None:
    study = load_study(name)
    found = alternatives({study.model.family: study}, (50,) * 4)
    assert any(each.families == (study.model.family,) for each in found)


@pytest.mark.slow  # It writes and reads phantoms; the ordinary run trains each task on tensors.
@pytest.mark.parametrize("name", TASKS)
def test_it_trains_and_draws(name: str, tmp_path: Path) -> None:
    study = load_study(name, FEW)
    sites = prepare_sites(study, None, tmp_path / "data", tmp_path / "cache").sites
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    keep_start(run, given_start(study, None))
    recipe = Recipe.of(study).on_frozen(run.pretrained)
    exchange = DirectExchange([Site(recipe, site, run.site(site.site)) for site in sites])
    trained = train(recipe, exchange, PlainAggregator(recipe.mechanism.vector.length), run)
    assert trained.checkpoint.round == recipe.rounds
    task, rng = recipe.task, torch.Generator().manual_seed(0)
    given = fields_of(task, sites[0], torch.arange(2)) if task.translates else drawn_fields(task, (2,), rng)
    networks = trained_networks(recipe, trained.checkpoint.ema, "cpu")
    made = recipe.family.sample(networks, given, 2, rng)
    assert made.shape == (2, *task.stack.shape)
    assert bool(torch.isfinite(made).all())
