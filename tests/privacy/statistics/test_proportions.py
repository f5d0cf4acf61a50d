"""Exact intervals and tests against scipy and against simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact, nhypergeom

from fedgen_privacy.statistics.proportions import (
    binomial_greater,
    bound_exceeded,
    clopper_pearson,
    fisher_greater,
    smallest_significant,
)

COUNTS = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS, st.floats(0.001, 0.5))
def test_clopper_pearson_equals_scipy(counts, alpha):
    successes, trials = counts
    reference = binomtest(successes, trials).proportion_ci(1 - alpha, method="exact")
    np.testing.assert_allclose(clopper_pearson(successes, trials, alpha), reference, atol=1e-9)


@given(COUNTS, COUNTS)
def test_fisher_equals_scipy(first, base):
    table = [[first[0], first[1] - first[0]], [base[0], base[1] - base[0]]]
    assert fisher_greater(*first, *base) == pytest.approx(fisher_exact(table, alternative="greater").pvalue)


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_fisher_at_an_order_statistic_is_the_exceedance_test(n, base, data):
    r = data.draw(st.integers(1, base))
    k = data.draw(st.integers(0, n))
    reference = nhypergeom(n + base, n, r).sf(k - 1)
    assert fisher_greater(k, n, r - 1, base) == pytest.approx(reference, abs=1e-9)


@pytest.mark.parametrize("r", [1, 3])
def test_a_threshold_taken_from_the_base_sample_keeps_the_level(r):
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(2000):
        base, sample = np.sort(rng.normal(size=24)), rng.normal(size=200)
        rejected += fisher_greater(int((sample < base[r - 1]).sum()), 200, r - 1, 24) <= 0.05
    # 0.05 of 2000 is 100; 140 has probability 1e-4.
    assert 40 < rejected < 140


@given(st.integers(1, 300), st.integers(1, 50), st.data())
def test_smallest_significant_is_the_edge(trials, base, data):
    r = data.draw(st.integers(0, base))
    least = smallest_significant(trials, r, base, 0.05)
    if least is None:
        assert fisher_greater(trials, trials, r, base) > 0.05
    else:
        assert fisher_greater(least, trials, r, base) <= 0.05
        assert least == 0 or fisher_greater(least - 1, trials, r, base) > 0.05


def test_binomial_tail():
    assert binomial_greater(3, 3, 0.5) == pytest.approx(1 / 8)


def test_a_perfect_attack_beats_a_bound_only_with_enough_non_members():
    tolerance = lambda fpr: min(1.0, 5 * fpr)  # noqa: E731
    assert bound_exceeded(10, 10, 0, 10, tolerance) > 0.3
    assert bound_exceeded(200, 200, 0, 100, tolerance) < 1e-3


def test_p_value_is_the_level_at_which_the_limits_meet():
    bound = lambda fpr: min(1.0, math.e * fpr)  # noqa: E731
    p = bound_exceeded(30, 100, 3, 100, bound)
    assert 1e-6 < p < 0.1
    for alpha, exceeded in [(p * 1.01, True), (p * 0.99, False)]:
        lower, upper = clopper_pearson(30, 100, alpha)[0], clopper_pearson(3, 100, alpha)[1]
        assert (lower > bound(upper)) is exceeded


def test_small_samples_raise_no_false_alarm():
    """Above the largest of 10 non-members lie 9 % of all patients on average: no breach of 5 times 1 %."""
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(300):
        members, non_members = rng.normal(size=300), rng.normal(size=10)
        found = int((members > non_members.max()).sum())
        alarms += bound_exceeded(found, 300, 0, 10, lambda fpr: min(1.0, fpr)) <= 0.05
    assert alarms <= 20


@pytest.mark.parametrize("counts", [(2, 1), (-1, 3), (0, 0)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError):
        clopper_pearson(*counts, 0.05)
    with pytest.raises(ValueError):
        fisher_greater(*counts, 0, 1)
    with pytest.raises(ValueError):
        bound_exceeded(0, 1, *counts, lambda fpr: fpr)
