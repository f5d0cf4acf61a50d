"""What rounds cost: schedules, the warm start, and the whole within its epsilon."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fedgen.recipe import Recipe
from fedgen_privacy.accounting import Spend, epsilon_prv, epsilon_rdp

SCHEDULE = {"from_round": (2, 4), "noise_factor": (0.8, 0.6), "clipping_factor": (0.5, 1.0)}


def test_each_round_has_its_noise_and_its_clipping(tiny_study) -> None:
    study = tiny_study(training={"rounds": 5}, privacy={"schedule": SCHEDULE, "clipping_norm": 2.0})
    mechanism = Recipe.of(study).mechanism
    plan = mechanism.plan(15, "north")
    sigma = plan.spend.noise_multiplier
    mechanisms = [mechanism.local_plan(mechanism.turns.turn(round), plan).mechanism for round in range(1, 6)]
    assert [m.noise_multiplier / sigma for m in mechanisms] == pytest.approx([1, 0.8, 0.8, 0.6, 0.6])
    assert [m.clipping_norm for m in mechanisms] == [2.0, 1.0, 1.0, 2.0, 2.0]


def test_the_whole_is_what_its_rounds_add_up_to(tiny_study) -> None:
    study = tiny_study(
        training={"rounds": 5}, privacy={"schedule": SCHEDULE, "central_images": {"images": 3}}
    )
    turns = Recipe.of(study).mechanism.turns
    assert turns.rounds == study.total_rounds == 6
    base = turns.calibrated(0.2)
    rounds = [turns.spend(round, base) for round in range(1, 7)]
    assert rounds[0] == Spend(5.0, 0.1, 3)
    assert epsilon_rdp(rounds, 1e-3) == pytest.approx(epsilon_rdp(turns.history(base), 1e-3))
    reached = epsilon_prv(turns.history(base), 1e-3)
    assert 0.98 * 20 < reached <= 20
    assert [turns.epsilon_after(base, 1e-3, r) for r in range(7)] == pytest.approx(
        [epsilon_rdp(rounds[:r], 1e-3) for r in range(7)]
    )


@settings(max_examples=8)
@given(st.floats(0.5, 2.0), st.integers(2, 5))
def test_any_schedule_keeps_the_study_within_epsilon(tiny_study, factor, start) -> None:
    schedule = {"from_round": (start,), "noise_factor": (factor,)}
    for mode in ({}, {"mode": "distributed", "sampling_rate": 0.2}):
        study = tiny_study(
            training={"rounds": 6, "local_steps": 1},
            privacy={"schedule": schedule, "epsilon": 3.0, **mode},
            aggregation={"secure": True, "minimum_sites": 3},
        )
        turns = Recipe.of(study).mechanism.turns
        base = turns.calibrated(0.2)
        spent = turns.history(base)
        assert base.discrete == bool(mode)
        assert (epsilon_rdp(spent, 1e-3) if mode else epsilon_prv(spent, 1e-3)) <= 3.0


def test_a_given_sampling_rate_does_not_look_at_the_patients(tiny_study) -> None:
    """The plan of a site, but for its number of patients and its weight, is the study's alone."""
    study = tiny_study(privacy={"sampling_rate": 0.25}, aggregation={"weighting": "uniform"})
    small, large = (Recipe.of(study).mechanism.plan(n, "north") for n in (2, 200))
    assert small.local == large.local and small.spend == large.spend and small.weight == large.weight


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"from_round": (3, 2)}, "must be rising, different rounds"),
        ({"from_round": (2, 2)}, "must be rising, different rounds"),
        ({"from_round": (1, 2)}, "different rounds from 2 on"),
        ({"from_round": (2,), "noise_factor": (0.0,)}, "must be above 0"),
        ({"from_round": (2, 3), "noise_factor": (0.5,)}, "noise_factor has 1 entries"),
        ({"clipping_factor": (0.5,)}, "clipping_factor has 1 entries"),
    ],
)
def test_impossible_schedules_are_refused(tiny_study, schedule, words) -> None:
    with pytest.raises(ValidationError, match=words):
        tiny_study(privacy={"schedule": schedule})
