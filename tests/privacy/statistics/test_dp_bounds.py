"""What a claimed epsilon permits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from fedgen_privacy.statistics.dp_bounds import auc_bound, replace_one, tpr_bound

EPSILON = st.floats(0, 12)
DELTA = st.floats(0, 0.3)


@pytest.mark.parametrize(("epsilon", "cap"), [(1, 0.027), (2, 0.074), (4, 0.546)])
def test_known_caps_at_one_percent(epsilon, cap):
    assert tpr_bound(0.01, epsilon, 0) == pytest.approx(cap, abs=5e-4)


@pytest.mark.parametrize(("epsilon", "mu"), [(1, 0.268), (2, 0.502), (4, 0.925), (8, 1.666)])
def test_the_gaussian_mechanism_stays_below(epsilon, mu):
    """Its best attack is TPR = Phi(Phi^-1(FPR) + mu), AUC = Phi(mu / sqrt 2); delta 1e-5."""
    for fpr in np.geomspace(1e-4, 1, 50):
        assert norm.cdf(norm.ppf(fpr) + mu) <= tpr_bound(fpr, epsilon, 1e-5) + 1e-4
    assert norm.cdf(mu / math.sqrt(2)) <= auc_bound(epsilon, 1e-5)


@given(EPSILON, DELTA)
def test_auc_bound_is_the_area_under_the_tpr_bound(epsilon, delta):
    fpr = np.r_[0, np.geomspace(1e-9, 1, 801)]
    curve = [tpr_bound(float(f), epsilon, delta) for f in fpr]
    assert auc_bound(epsilon, delta) == pytest.approx(np.trapezoid(curve, fpr), abs=4e-3)


@given(EPSILON)
def test_randomised_response_meets_the_bound(epsilon):
    truth = math.exp(epsilon) / (1 + math.exp(epsilon))
    assert tpr_bound(1 - truth, epsilon, 0) == pytest.approx(truth)
    assert auc_bound(epsilon, 0) == pytest.approx(truth)


@given(EPSILON, DELTA, st.floats(0, 1), st.floats(0, 1))
def test_bound_rises_with_fpr_and_allows_guessing(epsilon, delta, a, b):
    low, high = sorted((a, b))
    assert low - 1e-12 <= tpr_bound(low, epsilon, delta) <= tpr_bound(high, epsilon, delta) <= 1


@given(EPSILON, st.floats(0, 0.01), st.floats(0, 1))
def test_replacement_is_removal_then_addition(epsilon, delta, fpr):
    """Two steps: from FPR to the rate without either patient to TPR, each by the add/remove bound."""
    twice = math.exp(epsilon) * (math.exp(epsilon) * fpr + delta) + delta
    doubled, spread = replace_one(epsilon, delta)
    assert doubled == 2 * epsilon
    assert math.exp(doubled) * fpr + spread == pytest.approx(min(twice, math.exp(doubled) * fpr + 1))


def test_a_huge_epsilon_does_not_overflow():
    assert tpr_bound(0.01, 1e6, 1e-5) == 1
    assert auc_bound(1e6, 0) == pytest.approx(1)
    assert replace_one(1e6, 1e-5) == (2e6, 1.0)


@pytest.mark.parametrize("bad", [(0.5, -1, 0), (0.5, 1, 2), (1.5, 1, 0), (0.5, math.nan, 0)])
def test_impossible_claims_are_refused(bad):
    with pytest.raises(ValueError):
        tpr_bound(*bad)
