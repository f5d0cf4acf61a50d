"""The exact ROC against scikit-learn and against a naive loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from fedgen_privacy.statistics.auc import auc
from fedgen_privacy.statistics.roc import at_fpr, roc

# Few distinct values, so that ties are the rule.
SCORES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=40).map(np.array)


@given(SCORES, SCORES)
def test_curve_equals_scikit_learn(members, non_members):
    curve = roc(members, non_members)
    truth = np.r_[np.ones(members.size), np.zeros(non_members.size)]
    fpr, tpr, thresholds = roc_curve(truth, np.r_[members, non_members], drop_intermediate=False)
    np.testing.assert_allclose(curve.fpr, fpr)
    np.testing.assert_allclose(curve.tpr, tpr)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


@given(SCORES, SCORES)
def test_auc_equals_scikit_learn_and_the_area_under_the_curve(members, non_members):
    curve = roc(members, non_members)
    truth = np.r_[np.ones(members.size), np.zeros(non_members.size)]
    assert auc(members, non_members) == pytest.approx(roc_auc_score(truth, np.r_[members, non_members]))
    assert auc(members, non_members) == pytest.approx(np.trapezoid(curve.tpr, curve.fpr))


@given(SCORES, SCORES, st.floats(0, 1))
def test_operating_point_is_the_best_threshold_that_keeps_the_fpr(members, non_members, target):
    point = at_fpr(roc(members, non_members), target)
    best = 0
    for threshold in [np.inf, *members, *non_members]:
        if np.mean(non_members >= threshold) <= target + 1e-12:
            best = max(best, int(np.sum(members >= threshold)))
    assert point.true_positives == best
    assert point.false_positives / point.non_members <= target + 1e-12
    assert point.true_positives == np.sum(members >= point.threshold)


def test_tie_between_member_and_non_member_is_not_split():
    point = at_fpr(roc(np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.0])), 0.01)
    assert point.tpr == 0


def test_three_of_three_hundred_are_allowed_at_one_percent():
    assert at_fpr(roc(np.ones(1), np.arange(300.0)), 0.01).allowed == 3


@pytest.mark.parametrize("bad", [np.array([]), np.array([np.nan]), np.array([np.inf]), np.ones((2, 2))])
def test_unusable_scores_are_refused(bad):
    with pytest.raises(ValueError):
        roc(bad, np.ones(3))


def test_target_outside_the_unit_interval_is_refused():
    with pytest.raises(ValueError):
        at_fpr(roc(np.ones(1), np.ones(1)), 1.5)
