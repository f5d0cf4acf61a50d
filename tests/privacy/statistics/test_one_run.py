"""The bound of the one-run audit against a sum over all outcomes and against mechanisms of known epsilon."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from fedgen_privacy.statistics.one_run import epsilon_lower_bound, p_value


@given(st.integers(1, 40), st.floats(0, 4), st.data())
def test_p_value_is_the_papers_sum(guesses: int, epsilon: float, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, guesses))
    canaries, delta = guesses + 5, 1e-3
    q = math.exp(epsilon) / (1 + math.exp(epsilon))

    def tail(v: int) -> float:
        return sum(math.comb(guesses, k) * q**k * (1 - q) ** (guesses - k) for k in range(v, guesses + 1))

    alpha = max(((tail(correct - i) - tail(correct)) / i for i in range(1, correct + 1)), default=0.0)
    expected = min(1.0, tail(correct) + 2 * canaries * delta * alpha)
    assert p_value(canaries, guesses, correct, epsilon, delta) == pytest.approx(expected, abs=1e-9)


def test_all_guesses_right_give_the_known_ceilings() -> None:
    # largest reportable epsilon at delta 1e-5, by an independent computation
    for canaries, ceiling in ((10, 1.05), (100, 3.49), (1000, 5.78)):
        assert epsilon_lower_bound(canaries, canaries, canaries, 1e-5) == pytest.approx(ceiling, abs=0.01)


def test_coin_flipping_proves_nothing() -> None:
    assert epsilon_lower_bound(1000, 1000, 500, 1e-5) == 0.0


def test_the_bound_of_randomised_response_is_below_its_epsilon_and_near() -> None:
    m, epsilon = 20_000, 1.0
    right = int(binom.ppf(0.5, m, 1 / (1 + math.exp(-epsilon))))
    bound = epsilon_lower_bound(m, m, right, 0.0)
    assert 0.95 < bound < epsilon


def test_the_bound_holds_in_95_of_100_runs_of_randomised_response() -> None:
    m, epsilon = 500, 1.0
    rights = np.random.default_rng(1).binomial(m, 1 / (1 + math.exp(-epsilon)), size=400)
    above = sum(epsilon_lower_bound(m, m, int(right), 0.0) > epsilon for right in rights)
    assert 0 < above <= 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95)


@pytest.mark.parametrize("counts", [(10, 11, 5), (10, 5, 6), (10, 5, -1)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="impossible"):
        p_value(*counts, 1.0, 1e-5)
