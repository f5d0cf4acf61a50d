"""The rule, at its thresholds and on the cohorts that it was made for."""

from __future__ import annotations

import pytest

from fedgen.planning.alternatives import Alternative, Leg, alternatives
from fedgen.planning.published import FAMILY, IMAGES, PAPER, PRESET, reference
from fedgen.planning.recommend import ENOUGH_FOR_STEPS, LEAST_FOR_STEPS, recommended
from fedgen.planning.signal import LEAST_OF_A_SUM, signals
from fedgen.recipe import Recipe
from fedgen.study.load import load_study, load_variants


def leg(family: str, signal: float) -> Leg:
    return Leg(family, "random", 1.0, (1.0, 1.0), 100, signal, 1, 0)


def means(total: float, twice: float, steps: float, others: float | None = None) -> list[Alternative]:
    found = [
        Alternative("sum", ("sums",), (leg("sums", total),)),
        Alternative("sum then steps", ("sums", "net"), (leg("sums", total / 3), leg("net", twice))),
        Alternative("steps", ("net",), (leg("net", steps),)),
    ]
    return found if others is None else [*found, Alternative("steps", ("other",), (leg("other", others),))]


BELOW, ABOVE = 0.999, 1.001


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (means(9, 1, ENOUGH_FOR_STEPS * ABOVE), "steps"),
        (means(9, LEAST_FOR_STEPS * ABOVE, ENOUGH_FOR_STEPS * BELOW), "sum then steps"),
        (means(9, LEAST_FOR_STEPS * BELOW, ENOUGH_FOR_STEPS * BELOW), "sum"),
        (means(LEAST_OF_A_SUM * ABOVE, 0.1, 0.2), "sum"),
        (means(LEAST_OF_A_SUM * BELOW, 0.1, 0.2), None),
        # the first of two stages must be worth its part too
        (means(2.9, LEAST_FOR_STEPS * ABOVE, 8), "sum"),
        (means(0.9, 8, 9), "steps"),
        (means(0.9, 8, 9)[2:], "steps"),
        (means(9, 8, 9)[:1], "sum"),
        ([], None),
        ([Alternative("steps", ("net",), why_not="it cannot")], None),
    ],
)
def test_the_rule(found, kind) -> None:
    taken = recommended(found)
    assert (None if taken.take is None else taken.take.kind) == kind
    assert taken.reason and "\n" not in taken.reason


def test_the_preferred_family_where_it_suffices_and_the_loudest_where_not() -> None:
    assert recommended(means(9, 8, 12.5, 99), ("net",)).take.families == ("net",)
    assert recommended(means(9, 8, 12, 99), ("net",)).take.families == ("other",)
    assert recommended(means(9, 8, 12.5, 99)).take.families == ("other",)


@pytest.mark.parametrize(
    ("preset", "overrides", "patients", "families"),
    [
        ("mnist", [], (13_500,) * 4, ("diffusion",)),
        pytest.param(
            "mnist_gpu", ["privacy.epsilon=1", *PAPER], (60_000,), ("diffusion",), marks=pytest.mark.slow
        ),
        ("chest_xray", ["privacy.epsilon=3"], (29, 29, 29), ("latent",)),
        ("demo_gradients", ["privacy.epsilon=3"], (52,) * 4, ("latent",)),
        ("demo", [], (52,) * 4, ("candidates",)),
    ],
)
def test_known_cohorts(preset, overrides, patients, families) -> None:
    found = alternatives(load_variants(preset, overrides), patients)
    assert recommended(found, (FAMILY,)).take.families == families


@pytest.mark.parametrize(
    ("epsilon", "ratio"),
    [(1, ENOUGH_FOR_STEPS), pytest.param(0.2, LEAST_FOR_STEPS, marks=pytest.mark.slow)],
)
def test_the_thresholds_are_the_references(epsilon, ratio) -> None:
    study = load_study(PRESET, (*PAPER, f"privacy.epsilon={epsilon}"))
    recipe = Recipe.of(study)
    (only,) = signals(recipe, recipe.mechanism.plan(IMAGES, "reference"), 1)
    # rounded down, so that the reference itself is there
    assert ratio <= only.all_sites <= 1.03 * ratio
    assert study.model.family == FAMILY
    assert reference().signal.all_sites > ENOUGH_FOR_STEPS
