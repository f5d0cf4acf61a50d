"""The cost of a mode is the quotient of two noises, each of the study as that mode would run it."""

from __future__ import annotations

import re

import pytest

from fedgen.planning.mode_cost import mode_cost
from fedgen.recipe import Recipe
from fedgen.study.other_mode import in_other_mode

SECURE = {"aggregation": {"secure": True, "minimum_sites": 3, "tolerated_dropouts": 0}}


def factor(sentence: str) -> float:
    return float(re.search(r"would be (\S+) times as large", sentence)[1])


@pytest.mark.parametrize("family", ["latent", "vae"])
def test_it_is_the_same_seen_from_both_modes(tiny_study, family) -> None:
    sites = (20, 20, 20, 20)
    local = tiny_study(family, **SECURE)
    shared = in_other_mode(local, sites)
    assert factor(mode_cost(local, sites)) * factor(mode_cost(shared, sites)) == pytest.approx(1, rel=0.05)
    assert factor(mode_cost(shared, sites)) > 1
    assert mode_cost(local, sites).startswith("In mode local the noise protects against everybody")
    assert mode_cost(shared, sites).startswith(
        "In mode distributed the noise protects against everybody outside"
    )


def test_by_hand(tiny_study) -> None:
    sites = (20, 20, 20, 20)
    local = tiny_study("latent", **SECURE)
    shared = in_other_mode(local, sites)
    mine = Recipe.of(local).mechanism.plan(20, "north").spend.noise_multiplier
    mechanism = Recipe.of(shared).mechanism
    theirs = mechanism.share(mechanism.turns.turn(1), 4).total_std(4)
    assert factor(mode_cost(shared, sites)) == pytest.approx(2 * mine / theirs, rel=0.05)


def test_where_there_is_nothing_to_compare(tiny_study) -> None:
    assert mode_cost(tiny_study(privacy={"mode": "none"}), (20, 20, 20)) is None
    assert mode_cost(tiny_study(), (20,)) is None
    # two sites cannot make a sum in which one is hidden
    assert mode_cost(tiny_study(), (20, 20)) is None
