"""The bound of the two-world audit against numbers computed elsewhere, and against mechanisms of known mu."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from fedgen_privacy.statistics.two_worlds import (
    epsilon_lower_bound,
    gaussian_delta,
    gaussian_epsilon,
    mu_lower_bound,
)


@pytest.mark.parametrize(("epsilon", "mu"), [(1, 0.268), (2, 0.502), (4, 0.925), (8, 1.666)])
def test_epsilon_of_the_gaussian_mechanism_at_delta_1e_5(epsilon, mu) -> None:
    assert gaussian_epsilon(mu, 1e-5) == pytest.approx(epsilon, rel=3e-3)


@pytest.mark.parametrize("mu", [0.1, 0.7, 3.0, 20.0])
def test_epsilon_is_that_of_another_accountant(mu) -> None:
    other = privacy_loss_distribution.from_gaussian_mechanism(1 / mu, value_discretization_interval=1e-3)
    assert gaussian_epsilon(mu, 1e-3) == pytest.approx(other.get_epsilon_for_delta(1e-3), abs=5e-3)


@given(st.floats(0.05, 150), st.floats(1e-9, 0.2))
def test_epsilon_and_delta_are_inverse(mu, delta) -> None:
    epsilon = gaussian_epsilon(mu, delta)
    found = gaussian_delta(epsilon, mu)
    assert found == pytest.approx(delta, rel=1e-3) if epsilon else found <= delta * (1 + 1e-9)


def test_impossible_numbers_are_refused() -> None:
    for wrong in (
        lambda: gaussian_epsilon(1.0, 0.0),
        lambda: gaussian_delta(-1.0, 1.0),
        lambda: gaussian_delta(1.0, 0.0),
        lambda: mu_lower_bound(11, 10),
    ):
        with pytest.raises(ValueError):
            wrong()


def test_coin_flipping_proves_nothing() -> None:
    assert epsilon_lower_bound(500, 1000, 1e-3) == 0.0
    assert mu_lower_bound(10, 10) == 0.0


def test_the_bound_holds_in_95_of_100_audits_and_is_near() -> None:
    rng, runs, mu = np.random.default_rng(1), 2000, 1.0
    errors = rng.binomial(runs, norm.cdf(-mu / 2), size=400)
    bounds = np.array([mu_lower_bound(int(wrong), runs) for wrong in errors])
    assert 0 < np.sum(bounds > mu) <= 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95)
    assert np.mean(bounds) > 0.88


def test_no_error_in_many_runs_gives_the_ceiling() -> None:
    assert mu_lower_bound(0, 1000) == pytest.approx(2 * norm.isf(1 - 0.05 ** (1 / 1000)))
