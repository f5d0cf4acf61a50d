"""How far a study is reaches the losses that ask for it, in every mode, and no others."""

from __future__ import annotations

import pytest
import torch

from fedgen.families.contract import PROGRESS
from fedgen.recipe import Recipe
from fedgen.training.local import LocalTrainer


def heard_by(kind, heard, *, paced=True, **options):
    class Listener(kind):
        def loss(self, networks, records, draws):
            heard.append(draws.get(PROGRESS))
            return super().loss(networks, records, draws)

    listener = Listener(**options)
    listener.paced = paced
    return listener


def test_each_step_of_a_round_knows_how_much_of_the_study_is_done(toy) -> None:
    heard, also = [], []
    objectives = (heard_by(toy.Regression, heard), heard_by(toy.Follower, also, every=2))
    plan, cohort = toy.plan(steps=4, sampling_rate=1.0, span=(0.5, 0.75)), toy.cohort([1, 2, 2])
    LocalTrainer(objectives, toy.networks()).run(cohort, plan, toy.random(3))
    assert [tensor.tolist() for tensor in heard] == [[share] * 3 for share in (0.5, 0.5625, 0.625, 0.6875)]
    assert [tensor.unique().tolist() for tensor in also] == [[0.5625], [0.6875]]


@pytest.mark.parametrize(("paced", "span"), [(False, (0.0, 0.5)), (True, None)])
def test_who_does_not_ask_and_who_is_outside_of_a_study_hears_nothing(toy, paced, span) -> None:
    heard: list[torch.Tensor | None] = []
    objectives = (heard_by(toy.Regression, heard, paced=paced),)
    plan, cohort = toy.plan(steps=2, sampling_rate=1.0, span=span), toy.cohort([1, 2])
    LocalTrainer(objectives, toy.networks()).run(cohort, plan, toy.random(3))
    assert heard == [None, None]


@pytest.mark.parametrize("mode", ["none", "local"])
def test_the_rounds_of_a_study_span_all_of_it(tiny_study, mode) -> None:
    mechanism = Recipe.of(tiny_study(privacy={"mode": mode})).mechanism
    plan = mechanism.plan(9, "north")
    spans = [mechanism.local_plan(mechanism.turns.turn(round), plan).span for round in (1, 2, 3)]
    assert spans == [(0.0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.0)]
