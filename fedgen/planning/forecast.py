"""What a study will cost and can hope for at each size of site, before anything is spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedgen.errors import StudyError
from fedgen.mechanisms.contract import SitePlan
from fedgen.planning.published import PublishedRecipe, reference
from fedgen.planning.search import CohortSize, HeldFixed, batch_for, patients_for
from fedgen.planning.signal import LEAST_OF_A_SUM, Signal, required_batch_over_sigma, signals
from fedgen.recipe import Recipe
from fedgen.study.study import Study
from fedgen_privacy.accounting import epsilon_reported


@dataclass(frozen=True)
class SiteForecast:
    """All sites of one size; in mode distributed, all sites as one.

    Attributes:
        sites: how many there are.
        plan: what each will run; the very plan of the training.
        epsilon_by_round: epsilon after rounds 1, 2, ..., never below the truth; the last is the plan's.
        signals: upper bounds of signal to noise, one a private objective.
        reached: whether the weakest of them has the reference's ratio over all steps and sites, or that of a sum which
            can tell anything.
        batch: the batch that would reach it with these patients; None where there is none.
        cohort: the patients that would reach it at this sampling rate; None where there are none.
    """

    sites: int
    plan: SitePlan
    epsilon_by_round: tuple[float, ...]
    signals: tuple[Signal, ...]
    reached: bool
    batch: int | None
    cohort: CohortSize | None


@dataclass(frozen=True)
class EvidenceCost:
    """What of epsilon pays for audit and evaluation.

    Attributes:
        epsilon: of them alone, for every patient of a site.
        epsilon_training: of the training alone, the largest of all sites.
        noise_multiplier: sigma of a site's sum.
    """

    epsilon: float
    epsilon_training: float
    noise_multiplier: float


@dataclass(frozen=True)
class Forecast:
    """A whole study before it runs.

    Attributes:
        study: what was asked.
        sites: how many there are.
        sizes: of sites; one where all patients count together.
        reference: what it is compared with.
        pooled: whether all patients count together, wherever they are.
        accountant: whose epsilon it is.
        evidence: what of epsilon pays for audit and evaluation; None where they are told without noise.
    """

    study: Study
    sites: int
    sizes: tuple[SiteForecast, ...]
    reference: PublishedRecipe
    pooled: bool
    accountant: str
    evidence: EvidenceCost | None = None


def require_privacy(study: Study) -> None:
    """Refuse a study without privacy.

    Raises:
        StudyError: privacy.mode is none.
    """
    if not study.privacy.private:
        raise StudyError(
            "privacy.mode is none, so there is no noise and no epsilon to plan: set privacy.mode to local."
        )


def forecast(study: Study, patients: Sequence[int]) -> Forecast:
    """Plan every size of site and compare it with the reference.

    Args:
        study: a study with privacy.
        patients: training patients of each site, in any order; not empty.

    Raises:
        StudyError: see `require_privacy`.
        DataError, PrivacyRefusedError: a site would refuse the study, see `Mechanism.plan`.
    """
    require_privacy(study)
    recipe = Recipe.of(study)
    mechanism = recipe.mechanism
    accountant = mechanism.accountant
    assert accountant is not None
    compared = reference()
    if mechanism.pooled:
        # One sum with one noise: what counts is all patients together, wherever they are.
        whole = mechanism.plan(sum(patients), "all")
        size = _at(recipe, whole, len(patients), 1, compared)
        return Forecast(
            study, len(patients), (size,), compared, True, accountant, _evidence(recipe, (whole,))
        )
    plans = {size: mechanism.plan(size, f"{patients.index(size) + 1}") for size in dict.fromkeys(patients)}
    counts = Counter(patients)
    sizes = tuple(_at(recipe, plan, counts[size], len(patients), compared) for size, plan in plans.items())
    cost = _evidence(recipe, plans.values())
    return Forecast(study, len(patients), sizes, compared, False, accountant, cost)


def _evidence(recipe: Recipe, plans: Iterable[SitePlan]) -> EvidenceCost | None:
    spend, delta, turns = recipe.mechanism.evidence, recipe.study.privacy.delta, recipe.mechanism.turns
    if spend is None:
        return None
    histories = [turns.history(plan.spend, turns.rounds) for plan in plans if plan.spend is not None]
    return EvidenceCost(
        epsilon=epsilon_reported([spend], delta),
        epsilon_training=max(epsilon_reported(history, delta) for history in histories),
        noise_multiplier=spend.noise_multiplier,
    )


def epsilon_by_round(recipe: Recipe, plan: SitePlan) -> tuple[float, ...]:
    """Epsilon of a site after each aggregation: RDP on the way, never above that of the whole study, which ends it.

    Neither bound is below the truth, so the smaller is not.
    """
    if plan.spend is None or plan.epsilon is None:
        raise ValueError("a plan without privacy has no epsilon")
    spend, delta, epsilon = plan.spend, recipe.study.privacy.delta, plan.epsilon
    turns = recipe.mechanism.turns
    on_the_way = (min(turns.epsilon_after(spend, delta, r), epsilon) for r in range(1, turns.rounds))
    return (*on_the_way, epsilon)


def _at(recipe: Recipe, plan: SitePlan, alike: int, sites: int, compared: PublishedRecipe) -> SiteForecast:
    assert plan.spend is not None
    study = recipe.study
    found = signals(recipe, plan, sites)
    weakest = min(found, key=lambda one: one.all_sites)
    target = compared.signal.all_sites if study.steps else LEAST_OF_A_SUM
    reached = weakest.all_sites >= target
    batch: int | None = plan.local.batch
    cohort: CohortSize | None = CohortSize(plan.patients, plan.local.batch, study.privacy.delta)
    if not reached:
        wanted = required_batch_over_sigma(target, weakest, sites)
        budget = HeldFixed(
            study.privacy.epsilon,
            study.privacy.delta,
            plan.spend.steps * study.training_rounds,
            plan.patients,
            study.privacy.allow_large_delta,
            plan.spend.discrete,
            recipe.mechanism.turns.fixed,
        )
        # A sum has every patient in it already.
        batch = batch_for(wanted, budget) if study.steps else None
        cohort = patients_for(wanted, plan.spend.sampling_rate, budget)
    return SiteForecast(alike, plan, epsilon_by_round(recipe, plan), found, reached, batch, cohort)
