"""What a search finds does reach the goal, and a little less does not."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen.planning import search
from fedgen.planning.search import MOST_PATIENTS, WIDTH, HeldFixed, batch_for, patients_for
from fedgen_privacy.accounting import Spend, epsilon_prv
from fedgen_privacy.errors import PrivacyRefusedError

BUDGET = HeldFixed(epsilon=8.0, delta=1e-3, steps=60, patients=200)


def loose(low: float) -> float:
    """A little less than `low`: searches stop at a width, and noise is calibrated to a tolerance."""
    return low * (1 - 2 * WIDTH)


def test_the_batch_reaches_and_a_smaller_one_does_not() -> None:
    wanted = 30.0
    batch = batch_for(wanted, BUDGET)
    assert batch is not None
    assert 1 <= batch <= 200
    assert BUDGET.batch_over_sigma(batch / 200, 200) >= wanted
    assert BUDGET.batch_over_sigma(loose(batch) / 200, 200) < wanted


def test_what_no_batch_reaches() -> None:
    most = BUDGET.batch_over_sigma(1.0, 200)
    assert batch_for(1.001 * most, BUDGET) is None
    assert batch_for(most, BUDGET) is not None


def test_the_noise_of_a_search_keeps_epsilon() -> None:
    q = 0.1
    sigma = q * 200 / BUDGET.batch_over_sigma(q, 200)
    assert epsilon_prv([Spend(sigma, q, BUDGET.steps)], BUDGET.delta) <= BUDGET.epsilon


def test_the_patients_reach_and_fewer_do_not() -> None:
    q, wanted = 0.1, 200.0
    cohort = patients_for(wanted, q, BUDGET)
    assert cohort is not None
    assert BUDGET.batch_over_sigma(q, cohort.patients) >= wanted
    assert BUDGET.batch_over_sigma(q, int(loose(cohort.patients))) < wanted
    assert cohort.batch == round(q * cohort.patients)
    # More than 500 patients cannot keep a delta of 1e-3.
    assert cohort.patients > 500
    assert cohort.delta == 1 / (2 * cohort.patients)


def test_patients_at_the_same_delta_are_in_proportion() -> None:
    q = 0.1
    now = BUDGET.batch_over_sigma(q, 200)
    cohort = patients_for(2 * now, q, BUDGET)
    assert cohort == search.CohortSize(400, 40, 1e-3)


def test_an_allowed_delta_is_kept() -> None:
    allowed = dataclasses.replace(BUDGET, keep_delta=True)
    assert allowed.delta_for(10**6) == 1e-3
    assert BUDGET.delta_for(10**6) == 5e-7
    assert BUDGET.delta_for(200) == BUDGET.delta_for(500) == 1e-3


def test_what_no_number_of_patients_reaches() -> None:
    q = 0.1
    now = BUDGET.batch_over_sigma(q, 200)
    assert patients_for(now * MOST_PATIENTS / 100, q, BUDGET) is None


def test_where_no_noise_is_enough_nothing_is_found(monkeypatch) -> None:
    def refuse(**_: float) -> float:
        raise PrivacyRefusedError("No noise reaches it.")

    monkeypatch.setattr(search, "calibrate_noise", refuse)
    assert batch_for(1.0, BUDGET) is None
    assert patients_for(1.0, 0.1, BUDGET) is None


@pytest.mark.slow
@settings(max_examples=6)
@given(st.floats(0.02, 0.45), st.sampled_from([1.0, 3.0, 10.0]))
def test_a_larger_share_of_the_patients_gives_more_signal(q, epsilon) -> None:
    budget = dataclasses.replace(BUDGET, epsilon=epsilon)
    # Doubled, since noise is known to the tolerance of the search only.
    assert budget.batch_over_sigma(2 * q, 200) > budget.batch_over_sigma(q, 200)


@settings(max_examples=30)
@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_bisection_agrees_with_counting(threshold, above) -> None:
    high = threshold + above
    found = search._bisect(lambda number: number >= threshold, 0, high)
    assert threshold <= found <= threshold + max(1.0, WIDTH * found)
    if found <= 1 / WIDTH:
        assert found == threshold


@pytest.mark.parametrize("wanted", [0.001, 1.0])
def test_little_is_reached_by_few(wanted) -> None:
    cohort = patients_for(wanted, 0.1, BUDGET)
    assert cohort is not None
    assert cohort.patients < 200
    assert cohort.batch >= 1
