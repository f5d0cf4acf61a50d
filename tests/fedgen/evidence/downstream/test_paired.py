"""Paired tests: DeLong's against its naive loops, its size with several images a patient, and the bootstrap's p."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from fedgen.evidence.downstream.paired import auc_influence, bootstrap_p, delong_p


def test_the_area_and_its_influence() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(60) < 0.4
    scores = np.round(rng.normal(size=60) + positive, 1)
    area, moved = auc_influence(scores, positive)
    assert area == pytest.approx(roc_auc_score(positive, scores))
    assert moved[positive].sum() == pytest.approx(0, abs=1e-12) and moved.sum() == pytest.approx(0, abs=1e-12)


def test_the_test_is_delongs_loop_over_pairs() -> None:
    rng = np.random.default_rng(1)
    m, n = 70, 90
    truth = np.repeat([True, False], [m, n])
    scores = [np.round(rng.normal(size=m + n) + 0.8 * truth, 1) for _ in range(2)]
    scores[1] += 0.5 * scores[0]

    def kernel(x: float, y: float) -> float:
        return 1.0 if x > y else 0.5 if x == y else 0.0

    pairs = [np.array([[kernel(x, y) for y in s[m:]] for x in s[:m]]) for s in scores]
    areas = [each.mean() for each in pairs]
    s10 = np.cov([each.mean(1) for each in pairs])
    s01 = np.cov([each.mean(0) for each in pairs])
    covariance = s10 / m + s01 / n
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    expected = 2 * norm.sf(abs(areas[0] - areas[1]) / np.sqrt(variance))
    assert delong_p(scores[0], scores[1], truth, np.arange(m + n)) == pytest.approx(expected, rel=0.05)


def test_repeating_every_image_of_a_patient_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    truth = np.arange(80) % 3 == 0
    one, other = rng.normal(size=80) + truth, rng.normal(size=80) + truth
    alone = delong_p(one, other, truth, np.arange(80))
    again = delong_p(*(np.repeat(each, 4) for each in (one, other, truth, np.arange(80))))
    assert again == pytest.approx(alone)
    # Who takes the repetitions for people of their own is far too sure.
    assert delong_p(*(np.repeat(each, 4) for each in (one, other, truth)), np.arange(320)) < alone


def test_equal_scores_are_no_difference_and_a_clear_one_is_found() -> None:
    truth = np.arange(60) % 2 == 0
    scores = np.random.default_rng(3).normal(size=60)
    assert delong_p(scores, scores, truth, np.arange(60)) == 1
    assert delong_p(scores + 4 * truth, scores, truth, np.arange(60)) < 1e-6


def test_under_the_null_the_p_values_are_about_uniform() -> None:
    ps = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        owner = np.repeat(np.arange(50), 2)
        truth = owner % 2 == 0
        patient = rng.normal(size=(2, 50))[:, owner]
        one, other = patient + 0.5 * rng.normal(size=(2, 100)) + truth
        ps.append(delong_p(one, other, truth, owner))
    # 20 of 200 are expected at or below 0.1; luck leaves this range about once in 10 000.
    assert 6 <= sum(p <= 0.1 for p in ps) <= 38


def test_the_bootstraps_p_is_twice_the_smaller_tail_and_never_zero() -> None:
    assert bootstrap_p(np.ones(99)) == 2 / 100
    assert bootstrap_p(np.array([-1.0, 1.0] * 50)) == 1
    assert bootstrap_p(np.array([-1.0] * 10 + [1.0] * 89)) == pytest.approx(2 * 11 / 100)
    assert bootstrap_p(np.array([np.nan, 1.0])) == 1
