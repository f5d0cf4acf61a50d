"""Intervals of clustered observations, against exact ones and by simulation of what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, ttest_1samp

from fedgen_privacy.statistics.clustered import (
    clustered_mean,
    clustered_proportion,
    smallest_share_above_half,
)
from fedgen_privacy.statistics.proportions import clopper_pearson


@pytest.mark.parametrize(("found", "trials"), [(0, 12), (5, 12), (12, 12), (30, 40)])
def test_one_trial_a_cluster_is_clopper_and_pearson(found: int, trials: int) -> None:
    successes = np.array([1.0] * found + [0.0] * (trials - found))
    assert clustered_proportion(successes, np.ones(trials), 0.05) == pytest.approx(
        clopper_pearson(found, trials, 0.05), abs=1e-9
    )


def test_readers_who_always_agree_count_as_one() -> None:
    one = np.array([1.0] * 14 + [0.0] * 6)
    alone = clustered_proportion(one, np.ones(20), 0.05)
    assert clustered_proportion(3 * one, np.full(20, 3.0), 0.05) == pytest.approx(alone, abs=0.02)
    assert clustered_proportion(np.full(20, 3.0), np.full(20, 3.0), 0.05) == clopper_pearson(20, 20, 0.05)


def test_readers_who_disagree_evenly_are_never_more_than_their_answers() -> None:
    assert clustered_proportion(np.ones(20), np.full(20, 2.0), 0.05) == pytest.approx(
        clopper_pearson(20, 40, 0.05), abs=1e-9
    )


def test_the_interval_holds_the_truth_as_often_as_it_says_when_images_differ() -> None:
    """Three readers whose answers depend on how easy an image is; the naive interval would fail here."""
    rng, held, naive = np.random.default_rng(1), 0, 0
    for _ in range(400):
        easy = rng.beta(0.7, 0.3, 30)
        right = rng.binomial(3, easy).astype(float)
        low, high = clustered_proportion(right, np.full(30, 3.0), 0.05)
        held += low <= 0.7 <= high
        low, high = clopper_pearson(int(right.sum()), 90, 0.05)
        naive += low <= 0.7 <= high
    assert held >= 0.93 * 400
    assert naive < held


@pytest.mark.parametrize(("successes", "trials"), [([], []), ([1.0], [0.0]), ([3.0], [2.0]), ([-1.0], [2.0])])
def test_impossible_counts_are_refused(successes: list[float], trials: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one trial"):
        clustered_proportion(np.array(successes), np.array(trials), 0.05)


def test_a_mean_of_single_observations_has_students_interval() -> None:
    values = np.random.default_rng(0).normal(3, 1, 25)
    mean, low, high = clustered_mean(values, np.arange(25), 0.05)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((values.mean(), expected.low, expected.high))
    twice = clustered_mean(np.repeat(values, 2), np.repeat(np.arange(25), 2), 0.05)
    assert twice == pytest.approx((mean, low, high)), (
        "the same mark of the same image twice is no more than once"
    )
    assert clustered_mean(np.ones(4), np.zeros(4, dtype=np.int64), 0.05) == (1.0, -math.inf, math.inf)


@pytest.mark.parametrize("trials", [5, 20, 40, 100])
def test_the_smallest_share_is_the_one_that_the_exact_test_finds_with_its_power(trials: int) -> None:
    share = smallest_share_above_half(trials, 0.05)
    least = next(k for k in range(trials + 1) if binom.sf(k - 1, trials, 0.5) <= 0.05)
    assert binom.sf(least - 1, trials, share) == pytest.approx(0.8, abs=1e-6)
    assert smallest_share_above_half(3, 0.05) == 1.0
