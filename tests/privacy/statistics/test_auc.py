"""Intervals and tests of the AUC."""

import numpy as np
import pytest
from scipy.stats import norm

from fedgen_privacy.statistics.auc import (
    above_chance,
    above_value,
    auc,
    bootstrap_interval,
    delong_interval,
    minimum_detectable,
    standard_error,
)


def naive_delong(members, non_members):
    kernel = (members[:, None] > non_members) + 0.5 * (members[:, None] == non_members)
    return np.sqrt(kernel.mean(1).var(ddof=1) / members.size + kernel.mean(0).var(ddof=1) / non_members.size)


def test_standard_error_without_clusters_is_delong():
    rng = np.random.default_rng(0)
    members, non_members = np.round(rng.normal(0.5, 1, 31), 1), np.round(rng.normal(0, 1, 17), 1)
    assert standard_error(members, non_members) == pytest.approx(naive_delong(members, non_members))


def test_standard_error_of_repeated_images_is_that_of_patients():
    """Five equal images of a patient carry no more information than one; DeLong alone would believe them."""
    rng = np.random.default_rng(1)
    members, non_members = rng.normal(size=40), rng.normal(size=30)
    repeated, patients = np.repeat(non_members, 5), np.repeat(np.arange(30), 5)
    clustered = standard_error(members, repeated, non_member_clusters=patients)
    assert clustered == pytest.approx(standard_error(members, non_members))
    assert standard_error(members, repeated) < 0.85 * clustered


def test_a_single_cluster_knows_no_error():
    assert standard_error(np.ones(3), np.zeros(3), non_member_clusters=np.zeros(3, int)) == np.inf


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_intervals_cover(shift):
    """95 % intervals of 200 samples; fewer than 175 covered has probability 1e-5 at a true 95 %."""
    rng = np.random.default_rng(2)
    truth = norm.cdf(shift / np.sqrt(2))
    covered = {"delong": 0, "bootstrap": 0}
    for _ in range(200):
        members, non_members = rng.normal(shift, 1, 60), rng.normal(0, 1, 40)
        low, high = delong_interval(members, non_members, 0.05)
        covered["delong"] += low <= truth <= high
        low, high = bootstrap_interval(members, non_members, 0.05, 150, rng)
        covered["bootstrap"] += low <= truth <= high
    assert min(covered.values()) >= 175
    assert max(covered.values()) < 200


def test_complete_separation_is_not_certainty():
    low, high = bootstrap_interval(np.arange(10.0, 20), np.arange(5.0), 0.05, 100, np.random.default_rng(0))
    # Wilson's lower limit of 5 successes in 5 trials.
    assert (low, high) == (pytest.approx(5 / (5 + norm.ppf(0.975) ** 2)), 1.0)


def test_bootstrap_counts_ties_half():
    low, high = bootstrap_interval(np.ones(9), np.ones(7), 0.05, 100, np.random.default_rng(0))
    assert low < 0.5 < high


def test_chance_is_rejected_at_its_level_only():
    rng = np.random.default_rng(3)
    p = [above_chance(rng.normal(size=30), rng.normal(size=20)) for _ in range(400)]
    assert 0.015 < np.mean(np.array(p) <= 0.05) < 0.095
    assert above_chance(rng.normal(3, 1, 30), rng.normal(size=20)) < 1e-6


def test_a_value_is_rejected_rarely_where_it_is_true():
    """The variance is the largest possible, so the level holds with much room."""
    rng = np.random.default_rng(4)
    value = norm.cdf(1 / np.sqrt(2))
    p = [above_value(rng.normal(1, 1, 50), rng.normal(size=50), value) for _ in range(400)]
    assert np.mean(np.array(p) <= 0.05) <= 0.07
    assert above_value(np.ones(100), np.zeros(100), 0.75) < 1e-6
    assert above_value(np.ones(100), np.zeros(100), 1.0) == 1.0


@pytest.mark.parametrize(
    ("n", "half_width"), [(50, 0.114), (100, 0.080), (200, 0.057), (500, 0.036), (1000, 0.025), (5000, 0.011)]
)
def test_detectability_table(n, half_width):
    assert minimum_detectable(n, n, 0.05, power=0.5) == pytest.approx(0.5 + half_width, abs=6e-4)
    assert minimum_detectable(n, n, 0.05) > minimum_detectable(n, n, 0.05, power=0.5)


def test_power_is_what_is_claimed():
    """At the smallest detectable AUC the two-sided test finds the difference in about 80 % of samples."""
    rng = np.random.default_rng(5)
    shift = np.sqrt(2) * norm.ppf(minimum_detectable(100, 60, 0.05))
    found = np.mean(
        [above_chance(rng.normal(shift, 1, 100), rng.normal(size=60)) <= 0.025 for _ in range(300)]
    )
    assert 0.7 < found < 0.9


def test_nobody_to_compare_detects_nothing():
    assert minimum_detectable(0, 10, 0.05) == 1.0
    with pytest.raises(ValueError):
        auc(np.array([]), np.ones(1))
