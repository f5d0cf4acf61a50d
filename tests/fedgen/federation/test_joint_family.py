"""A family with two private objectives in whole federations: one vector, one charge a step, in every mode."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from fedgen.errors import StudyError
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import keyholder, roster
from fedgen.planning.signal import signals
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen_privacy.accounting import epsilon_prv, epsilon_rdp
from fedgen_privacy.ledger import Ledger

SIZES = {"east": 6, "north": 9, "west": 12}
SECURE = {"secure": True, "minimum_sites": 3, "tolerated_dropouts": 0}
DISTRIBUTED = {
    "training": {"local_steps": 1, "batch_patients": 9, "rounds": 4},
    "privacy": {"mode": "distributed", "sampling_rate": 1 / 3, "epsilon": 20.0, "delta": 1e-3},
    "aggregation": SECURE,
}


@pytest.fixture
def trained(tmp_path, tiny_site):
    """`trained(study)`: the run, the last checkpoint, and the losses of each round."""

    def go(study):
        recipe, run = Recipe.of(study), RunDirectory(tmp_path / "run")
        run.path.mkdir()
        names = roster({site: run.site(site) for site in SIZES}) if study.aggregation.secure else None
        sites = [
            Site(
                recipe,
                tiny_site(site, n),
                run.site(site),
                None if names is None else keyholder(recipe, names, site, run.site(site)),
                roster_size=len(SIZES),
            )
            for site, n in SIZES.items()
        ]
        aggregator = (
            PlainAggregator(recipe.mechanism.vector.length)
            if names is None
            else SecureAggregator(recipe, names)
        )
        done = train(recipe, DirectExchange(sites), aggregator, run)
        events = [json.loads(line) for line in run.events.read_text().splitlines()]
        return run, done.checkpoint, [event["losses"] for event in events if event["event"] == "round"]

    return go


def spends(run, site="north"):
    return [row.spend for row in Ledger(run.site(site) / "ledger.jsonl")]


def moved(recipe, checkpoint) -> dict[str, bool]:
    """Whether each network is another than at the start."""
    before, after = (recipe.layout.tensors(v) for v in (recipe.initial, checkpoint.model))
    return {
        name: any(not torch.equal(before[key], after[key]) for key in before if key.startswith(name))
        for name in ("judge", "maker")
    }


@pytest.mark.parametrize("mode", ["none", "local"])
def test_sites_step_with_both_at_once(duo, trained, mode) -> None:
    study = duo(privacy={"mode": mode})
    run, checkpoint, losses = trained(study)
    assert all(moved(Recipe.of(study), checkpoint).values())
    assert [set(each) for each in losses] == [{"maker", "judge"}] * 3
    if mode == "none":
        assert spends(run) == [None] * 3
        return
    assert all(loss["std"] > 0 for each in losses for loss in each.values())
    # Two steps in each of three rounds, not four.
    assert [spend.steps for spend in spends(run)] == [2, 2, 2]
    assert 0.95 * 20 < epsilon_prv(spends(run), 1e-3) <= 20
    (signal,) = signals(Recipe.of(study), Recipe.of(study).mechanism.plan(9, "north"), 1)
    assert (signal.objective, signal.steps) == ("maker and judge", 6)
    assert signal.parameters == Recipe.of(study).layout.size


def test_a_distributed_step_is_of_both(duo, trained) -> None:
    study = duo(**DISTRIBUTED)
    run, checkpoint, losses = trained(study)
    recipe = Recipe.of(study)
    assert recipe.mechanism.vector.length == recipe.layout.size + 2
    assert all(moved(recipe, checkpoint).values())
    assert {name.split("/")[0] for name in checkpoint.server} == {"maker", "judge"}
    assert all(set(each) == {"maker", "judge"} and each["judge"]["std"] > 0 for each in losses)
    assert [(spend.steps, spend.discrete) for spend in spends(run)] == [(1, True)] * 4
    assert 0.95 * 20 < epsilon_rdp(spends(run), 1e-3) <= 20


def test_without_noise_a_distributed_step_is_each_objectives_own(duo, trained, monkeypatch) -> None:
    """Only the maker's optimizer, and none of the judge's gradient, moves the maker in rounds without the judge."""
    monkeypatch.setattr(
        "fedgen_privacy.integer_step.discrete_gaussian", lambda random, n, sigma: np.zeros(n, np.int64)
    )
    study = duo({"judge": 2}, **DISTRIBUTED)
    _, checkpoint, losses = trained(study)
    assert [set(each) for each in losses] == [{"maker"}, {"maker", "judge"}] * 2
    steps = {name: float(checkpoint.server[f"{name}/0/step"]) for name in ("maker", "judge")}
    assert steps == {"maker": 4.0, "judge": 2.0}


def test_a_round_in_which_nobody_would_be_read_is_refused(duo) -> None:
    study = duo({"judge": 2, "maker": 3}, **DISTRIBUTED)
    with pytest.raises(StudyError, match=r"maker reads data only in one of 3, so that some rounds"):
        _ = Recipe.of(study).mechanism
