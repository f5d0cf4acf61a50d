"""Who is whose: exact where it can be, at its level, and blind to what all have in common."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import binom, kstest

from fedgen_privacy.statistics.matching import identified, matching_p, own_similarity


def test_all_orders_are_gone_through_where_they_are_few() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(5, 5))
    sums = [sum(table[i, order[i]] for i in range(5)) for order in permutations(range(5))]
    expected = np.mean([each >= np.trace(table) - 1e-12 for each in sums])
    assert matching_p(table, 1000, rng) == pytest.approx(expected)
    assert matching_p(np.eye(5), 1000, rng) == pytest.approx(1 / 120)


def test_what_all_have_in_common_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(size=(6, 6)) + np.eye(6)
    moved = table + 10 * rng.normal(size=(6, 1)) + 10 * rng.normal(size=(1, 6))
    assert matching_p(moved, 1000, rng) == pytest.approx(matching_p(table, 1000, rng))
    column = table + 10 * rng.normal(size=(1, 6))
    assert identified(column) == identified(table)


def test_the_level_is_kept() -> None:
    rng = np.random.default_rng(2)
    p = [matching_p(rng.normal(size=(12, 12)), 200, rng) for _ in range(300)]
    assert sum(each <= 0.05 for each in p) <= binom.ppf(1 - 1e-4, 300, 0.05)
    assert kstest(p, "uniform").pvalue > 1e-3


def test_own_ones_are_found() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(12, 12)) + 4 * np.eye(12)
    assert identified(table) >= 10
    assert matching_p(table, 2000, rng) == pytest.approx(1 / 2001)
    assert 3 < own_similarity(table) < 5
    assert own_similarity(np.ones((3, 3))) == 0


def test_what_is_no_table_is_refused() -> None:
    rng = np.random.default_rng(4)
    for wrong in (np.ones((2, 3)), np.ones(3), np.full((2, 2), np.nan), np.ones((0, 0))):
        with pytest.raises(ValueError, match="similarities"):
            matching_p(wrong, 10, rng)
