"""Other means for the same patients are planned by the functions that plan a run, and by no others."""

from __future__ import annotations

import pytest

from fedgen.families.registry import specs
from fedgen.planning import alternatives as room
from fedgen.planning.alternatives import FIRST_SHARE, Alternative, Leg, alternatives, most_telling, site_plans
from fedgen.planning.signal import signals, together
from fedgen.recipe import Recipe
from fedgen.study.load import load_variants, parse_variants
from fedgen.study.show import dump_study
from fedgen_privacy.accounting import epsilon_rdp


@pytest.fixture
def variants(tiny_study):
    """`variants(**sections)`: the tiny study in each family."""

    def build(**sections):
        return parse_variants(dump_study(tiny_study(**sections)), "tiny")

    return build


def test_every_private_family_is_there_by_itself_and_none_by_a_list(variants) -> None:
    found = alternatives(variants(), (9, 9))
    alone = {each.name: each.kind for each in found if len(each.families) == 1}
    assert alone == {
        n: "sum" if s.sums else "steps" for n, s in specs().items() if s.private and not s.needs_prior
    }
    # A sum before steps is of an image of a class, which the latent space of the sum and the family must both make.
    suited = [name for name, spec in specs().items() if spec.supports(variants()["latent"].made) is None]
    steps = [name for name, kind in alone.items() if kind == "steps" and name in suited]
    assert [each.families[1] for each in found if each.kind == "sum then steps"] == steps


def test_each_leg_has_the_numbers_of_its_own_plan(variants) -> None:
    studies = variants()
    for each in alternatives(studies, (9, 12)):
        if each.kind == "sum then steps" or each.why_not:
            continue
        (leg,) = each.legs
        recipe = Recipe.of(studies[each.name])
        plans = [recipe.mechanism.plan(n, "north") for n in (9, 12)]
        assert leg.noise == tuple(sorted(plan.spend.noise_multiplier for plan in plans))
        weakest = [min(s.all_steps for s in signals(recipe, plan, 1)) for plan in plans]
        assert leg.signal == pytest.approx(together([(9, weakest[0]), (12, weakest[1])]))
        assert (leg.rounds, leg.epsilon) == (studies[each.name].total_rounds, 20.0)


@pytest.mark.parametrize("epsilon", [0.05, 3.0])
def test_two_stages_stay_within_the_epsilon_as_a_ledger_counts_it(variants, epsilon) -> None:
    studies = variants(privacy={"epsilon": epsilon})
    (each,) = [
        each
        for each in alternatives({name: studies[name] for name in ("latent", "vae")}, (30, 30))
        if each.kind == "sum then steps"
    ]
    first, second = each.legs
    assert first.epsilon * 2 == pytest.approx(second.epsilon)
    # at small epsilons a third and two thirds are too much together
    assert (first.epsilon < 0.999 * FIRST_SHARE * epsilon) == (epsilon < 1)
    assert (first.start, second.start) == ("random", "samples")
    spends = []
    for leg in each.legs:
        study = studies[leg.family]
        privacy = study.privacy.model_copy(update={"epsilon": leg.epsilon})
        recipe = Recipe.of(study.model_copy(update={"privacy": privacy}))
        (plan, _) = site_plans(recipe, (30, 30))
        spends += recipe.mechanism.turns.history(plan.spend)
    assert each.epsilon == epsilon_rdp(spends, 1e-3) <= epsilon


def test_what_a_site_would_refuse_is_no_means_and_says_why(variants) -> None:
    found = alternatives(variants(), (2, 2))
    (vae,) = [each for each in found if each.families == ("vae",)]
    assert vae.legs == () and "has 2 training patients" in vae.why_not
    # every patient is in a sum, whatever the batch
    (latent,) = [each for each in found if each.families == ("latent",)]
    assert latent.why_not is None
    assert not [each for each in found if each.kind == "sum then steps" and each.families[1] == "vae"]


def test_bytes_are_unknown_where_so_few_sites_would_not_start(variants) -> None:
    secure = {"aggregation": {"secure": True, "minimum_sites": 3}}
    by_sites = {}
    for sites in (2, 3):
        (latent,) = [
            each for each in alternatives(variants(**secure), (9,) * sites) if each.families == ("latent",)
        ]
        by_sites[sites] = latent.legs[0].bytes
    assert by_sites[2] is None and by_sites[3] > 4 * 30


def test_in_mode_distributed_steps_are_rounds_and_all_patients_are_one() -> None:
    overrides = ["model.family=latent", "privacy.mode=distributed", "privacy.sampling_rate=0.25"]
    studies = load_variants("demo_gradients", [*overrides, "training.batch_patients=52"])
    assert (studies["vae"].training.rounds, studies["vae"].training.local_steps) == (120, 1)
    (plan,) = site_plans(Recipe.of(studies["vae"]), (52,) * 4)
    assert plan.patients == 208


def leg(parameters: int, signal: float) -> Leg:
    return Leg("any", "random", 1.0, (1.0, 1.0), parameters, signal, 1, 0)


@pytest.mark.parametrize(
    ("sums", "taken"),
    [
        ([(100, 2.0), (10, 20.0)], 0),
        ([(100, 0.9), (10, 9.0)], 1),
        ([(100, 0.2), (10, 0.9)], 1),
    ],
)
def test_of_sums_the_longest_that_is_above_its_noise(sums, taken) -> None:
    found = [Alternative("sum", (f"family{i}",), (leg(*each),)) for i, each in enumerate(sums)]
    assert most_telling(found) is found[taken]
    # a preferred one is taken where it is above its noise
    wanted = most_telling(found, ("family1",))
    assert wanted is (found[1] if sums[1][1] >= 1 else found[taken])
    broken = Alternative("sum", ("broken",), why_not="it cannot")
    assert most_telling([broken]) is None
    assert most_telling([broken, *found]) is found[taken]


@pytest.mark.slow
def test_no_split_is_no_means(variants, monkeypatch) -> None:
    monkeypatch.setattr(room, "epsilon_rdp", lambda spends, delta: 20.5)
    twice = [each for each in alternatives(variants(), (9, 9)) if each.kind == "sum then steps"]
    assert twice and all("no split" in each.why_not for each in twice)
