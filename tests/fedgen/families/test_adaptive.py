"""The adaptive schedule against the rule as Bie et al. 2023 state it, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedgen.errors import StudyError
from fedgen.families.contract import objectives_of
from fedgen.families.gan.adaptive import RATES, AdaptiveRule, ScheduleState, next_rate
from fedgen.families.parts.conditioning import one_hot
from fedgen.recipe import Recipe
from fedgen.training.joint import mechanism_steps

accuracies = st.floats(0, 1)
states = st.builds(
    ScheduleState,
    rate=st.sampled_from(RATES),
    waited=st.integers(0, 5000),
    turns=st.integers(0, 400),
    accuracy=st.none() | accuracies,
)


def play(rule: AdaptiveRule, state: ScheduleState, steps: int, accuracy) -> tuple[list[int], ScheduleState]:
    """The local steps (from 1) at which the generator had its turn."""
    turns = []
    for step in range(1, steps + 1):
        if rule.due(state):
            turns.append(step)
            state = rule.turn(state, accuracy(step))
        else:
            state = rule.wait(state)
    return turns, state


@given(start=st.sampled_from(RATES[:5]), rows=st.lists(accuracies, min_size=1, max_size=60))
def test_the_rule_is_the_published_one(start, rows) -> None:
    """An independent transcription: count turns, average, and climb one rung of the ladder."""
    rule = AdaptiveRule(0.6, grace=7, beta=0.9)
    rung, count, average = RATES.index(start), 0, None
    state = ScheduleState(start)
    for accuracy in rows:
        average = accuracy if average is None else 0.9 * average + 0.1 * accuracy
        count += 1
        if count >= 7 and average <= 0.6:
            rung, count = min(rung + 1, len(RATES) - 1), 0
        state = rule.turn(state, accuracy)
        assert state.rate == RATES[rung]
        assert state.turns == count
        assert state.accuracy == pytest.approx(average, abs=1e-12)
        assert state.waited == 0


@given(state=states, accuracy=accuracies, threshold=st.floats(0.01, 0.99))
def test_the_rate_never_falls_and_climbs_one_rung_at_most(state, accuracy, threshold) -> None:
    after = AdaptiveRule(threshold).turn(state, accuracy)
    assert after.rate in (state.rate, next_rate(state.rate))
    if after.rate != state.rate:
        assert state.turns + 1 >= 200
        assert after.accuracy <= threshold
        assert after.turns == 0
    before = accuracy if state.accuracy is None else state.accuracy
    assert min(before, accuracy) - 1e-12 <= after.accuracy <= max(before, accuracy) + 1e-12


@given(rate=st.sampled_from(RATES[:7]), steps=st.integers(1, 300))
def test_between_two_turns_lie_rate_steps_of_the_discriminator(rate, steps) -> None:
    turns, state = play(AdaptiveRule(0.6), ScheduleState(rate), steps, lambda step: 1.0)
    assert turns == list(range(rate, steps + 1, rate))
    assert state.rate == rate


def test_a_discriminator_that_recognises_nothing_climbs_after_each_grace() -> None:
    rule = AdaptiveRule(0.6, grace=3)
    turns, state = play(rule, ScheduleState(1), 3 * (1 + 2 + 5), lambda step: 0.0)
    assert turns == [1, 2, 3, 5, 7, 9, 14, 19, 24]
    assert state.rate == 10


def test_the_average_has_the_weight_of_the_paper() -> None:
    state = AdaptiveRule(0.6).turn(ScheduleState(1, accuracy=1.0), 0.0)
    assert state.accuracy == pytest.approx(0.99)
    assert AdaptiveRule(0.6).turn(ScheduleState(1), 0.4).accuracy == pytest.approx(0.4)


def test_the_ladder_ends() -> None:
    assert [next_rate(rate) for rate in RATES] == [*RATES[1:], 5000]
    assert [next_rate(rate) for rate in (3, 7, 4999, 9000)] == [5, 10, 5000, 9000]


@given(state=states)
def test_the_state_survives_as_tensors(state) -> None:
    tensors = state.tensors()
    assert all(tensor.ndim == 0 for tensor in tensors.values())
    assert ScheduleState.of(tensors, rate=77) == state
    assert ScheduleState.of({}, rate=77) == ScheduleState(77)


@given(state=states, split=st.integers(0, 40), accuracy=accuracies)
def test_stopping_anywhere_changes_nothing(state, split, accuracy) -> None:
    state = replace(state, waited=0)
    rule = AdaptiveRule(0.6, grace=2)
    _, whole = play(rule, state, 40, lambda step: accuracy)
    _, first = play(rule, state, split, lambda step: accuracy)
    _, second = play(rule, ScheduleState.of(first.tensors(), 1), 40 - split, lambda step: accuracy)
    assert second == whole


def test_the_generator_reads_the_accuracy_on_its_own_fakes(study_of, perturbed) -> None:
    family = Recipe.of(study_of("gan", adaptive_threshold=0.6, discriminator_steps=2)).family
    generator = objectives_of(family)[1]
    networks = perturbed(family)
    draws = generator.draw(64, 1, 1, torch.Generator().manual_seed(0))
    assert not generator.due(1, {})
    waited = generator.remember(networks, None, {})
    assert generator.due(2, waited)
    state = ScheduleState.of(generator.remember(networks, draws, waited), 2)
    y = one_hot(draws["class"][:, 0, 0], 3, torch.float32)
    fakes = networks["generator"](draws["z"][:, 0, 0], y)
    logits, _ = networks["discriminator"](fakes, y)
    recognised = (torch.sigmoid(logits) < 0.5).double().mean().item()
    assert 0 < recognised < 1
    assert state == ScheduleState(2, waited=0, turns=1, accuracy=recognised)


def test_a_fixed_schedule_remembers_nothing(study_of, perturbed) -> None:
    family = Recipe.of(study_of("gan", discriminator_steps=3)).family
    generator = objectives_of(family)[1]
    assert [generator.due(step, {}) for step in range(1, 7)] == [False, False, True] * 2
    assert generator.remember(perturbed(family), None, {}) == {}


def test_a_round_too_short_for_the_generator_is_refused(study_of) -> None:
    study = study_of("gan", discriminator_steps=50)
    with pytest.raises(StudyError, match=r"50 but a round has 10 .*multiple of 50.*adaptive_threshold"):
        Recipe.of(study)
    adaptive = Recipe.of(study_of("gan", discriminator_steps=50, adaptive_threshold=0.6)).family
    assert objectives_of(adaptive)[1].rule is not None


@pytest.mark.parametrize("options", [{}, {"adaptive_threshold": 0.6}, {"discriminator_steps": 5}])
def test_no_schedule_changes_what_a_round_costs(study_of, options) -> None:
    objectives = objectives_of(Recipe.of(study_of("gan", **options)).family)
    assert [mechanism_steps(objectives, steps) for steps in (1, 10, 33)] == [1, 10, 33]


def test_both_optimizers_have_the_betas_of_dcgan(study_of) -> None:
    betas = [objective.optimizer.betas for objective in objectives_of(Recipe.of(study_of("gan")).family)]
    assert betas == [(0.5, 0.999)] * 2
