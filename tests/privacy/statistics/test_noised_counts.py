"""Intervals of noised counts hold what they promise, noise included, and say nothing where the noise says nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen_privacy.statistics.auc import auc
from fedgen_privacy.statistics.noised_counts import (
    Noised,
    epsilon_seen,
    noised_advantage,
    noised_auc,
    noised_share,
    smallest_auc,
)

ALPHA = 0.05
#: Runs of a simulation; 95 % of them by chance alone are 0.925 to 0.975.
RUNS = 300
LOW, HIGH = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
TRUE_AUC = float(HIGH @ (0.5 * (1 + np.sign(np.subtract.outer(np.arange(4), np.arange(4))))) @ LOW)


def drawn(rng, n, shares, noise):
    return rng.multinomial(n, shares) + noise * rng.standard_normal(len(shares))


@pytest.mark.parametrize("n", [10, 50, 200])
@pytest.mark.parametrize("noise", [0.5, 4.0])
def test_an_aucs_interval_covers_sampling_and_noise(n, noise) -> None:
    rng, kept = np.random.default_rng(n), 0
    for _ in range(RUNS):
        found = noised_auc(drawn(rng, n, HIGH, noise), drawn(rng, n, LOW, noise), noise, ALPHA)
        kept += found.low <= TRUE_AUC <= found.high
    assert kept >= 0.925 * RUNS


@pytest.mark.parametrize("n", [10, 50, 200])
@pytest.mark.parametrize("noise", [0.5, 4.0])
def test_a_shares_interval_covers_sampling_and_noise(n, noise) -> None:
    rng, kept, called = np.random.default_rng(n), 0, np.array([0.0, 0.0, 1.0, 1.0])
    for _ in range(RUNS):
        found = noised_share(drawn(rng, n, HIGH, noise), called, noise, ALPHA)
        kept += found.low <= HIGH @ called <= found.high
    assert kept >= 0.925 * RUNS


@pytest.mark.parametrize("noise", [1.0, 4.0])
def test_an_advantages_interval_covers_sampling_and_noise(noise) -> None:
    rng, kept, called = np.random.default_rng(3), 0, np.array([0.0, 0.0, 1.0, 1.0])
    for _ in range(RUNS):
        sides = (drawn(rng, 100, HIGH, noise), called), (drawn(rng, 60, LOW, noise), called)
        found = noised_advantage(*sides, noise, ALPHA)
        kept += found.low <= (HIGH - LOW) @ called <= found.high
    assert kept >= 0.925 * RUNS


def test_an_interval_without_the_noise_in_it_would_not_cover() -> None:
    """The planted fault: the same counts, read as if they were exact."""
    rng, kept = np.random.default_rng(1), 0
    for _ in range(RUNS):
        found = noised_auc(drawn(rng, 50, HIGH, 6.0), drawn(rng, 50, LOW, 6.0), 0.0, ALPHA)
        kept += found.low <= TRUE_AUC <= found.high
    assert kept < 0.9 * RUNS


@given(
    st.lists(st.integers(0, 9), min_size=4, max_size=4), st.lists(st.integers(0, 9), min_size=4, max_size=4)
)
def test_without_noise_it_is_the_auc_of_the_scores(inside, outside) -> None:
    a, b = np.array(inside, float), np.array(outside, float)
    if not a.sum() or not b.sum():
        return
    scores = [np.repeat(np.arange(4.0), side) for side in (inside, outside)]
    found = noised_auc(a, b, 0.0, ALPHA)
    assert found.value == pytest.approx(auc(*scores))
    assert found.low <= found.value <= found.high


@settings(max_examples=50)
@given(st.lists(st.floats(-50, 50), min_size=6, max_size=6), st.floats(0, 20))
def test_limits_stay_in_their_range_whatever_the_noise_made(counts, noise) -> None:
    counts = np.array(counts)
    for found, least in (
        (noised_auc(counts, counts[::-1], noise, ALPHA), 0.0),
        (noised_share(counts, np.array([-1.0, 0, 0, 0, 1, 1]), noise, ALPHA), -1.0),
    ):
        assert least <= found.low <= found.high <= 1.0
        assert found.value is None or found.low <= found.value <= found.high


def test_where_the_noise_swamps_the_counts_nothing_is_said() -> None:
    few = np.array([2.0, 1.0, 1.0, 1.0])
    assert noised_auc(few, few, 10.0, ALPHA) == Noised(None, 0.0, 1.0)
    assert noised_share(few, np.array([0.0, 0, 1, 1]), 10.0, ALPHA) == Noised(None, 0.0, 1.0)
    assert smallest_auc(few, few, 10.0, ALPHA) == 1.0


@pytest.mark.parametrize(("n", "noise"), [(100, 2.0), (200, 4.0), (60, 0.0)])
def test_an_effect_of_the_smallest_visible_size_is_seen_as_often_as_is_said(n, noise) -> None:
    flat = np.full(4, 0.25)
    least = smallest_auc(n * flat, n * flat, noise, ALPHA)
    assert 0.5 < least < 0.9
    # A tilt of the members' shares that gives this AUC.
    tilt = np.array([-1.5, -0.5, 0.5, 1.5])
    order = 0.5 * (1 + np.sign(np.subtract.outer(np.arange(4), np.arange(4))))
    tilted = flat + (least - 0.5) / float(tilt @ order @ flat) * tilt
    rng, seen = np.random.default_rng(5), 0
    for _ in range(RUNS):
        seen += noised_auc(drawn(rng, n, tilted, noise), drawn(rng, n, flat, noise), noise, ALPHA).low > 0.5
    assert 0.68 * RUNS < seen < 0.92 * RUNS


def test_more_noise_and_fewer_patients_see_less() -> None:
    shares = np.full(6, 1 / 6)
    found = [smallest_auc(n * shares, n * shares, noise, ALPHA) for n, noise in ((200, 1), (200, 4), (50, 4))]
    assert found == sorted(found) and len(set(found)) == 3


def test_epsilon_of_randomised_response() -> None:
    """TPR e/(1+e) and FPR 1/(1+e) known exactly show epsilon 1, and known roughly less."""
    p = math.e / (1 + math.e)
    assert epsilon_seen(Noised(p, p, p), Noised(1 - p, 1 - p, 1 - p), 0.0) == pytest.approx(1.0)
    rough = epsilon_seen(Noised(p, p - 0.1, p + 0.1), Noised(1 - p, 0.2, 0.4), 0.0)
    assert 0 < rough < 1
    assert epsilon_seen(Noised(0.5, 0.3, 0.7), Noised(0.5, 0.3, 0.7), 1e-5) == 0.0


@pytest.mark.parametrize(("noise", "alpha"), [(-1.0, 0.05), (1.0, 0.0), (float("nan"), 0.05)])
def test_impossible_arguments_are_refused(noise, alpha) -> None:
    with pytest.raises(ValueError, match="noise"):
        noised_share(np.ones(2), np.array([0.0, 1.0]), noise, alpha)
