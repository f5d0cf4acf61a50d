"""What the same patients, epsilon, delta and mode would give by other means, by the formulas of `signal` throughout.

Three means: a sum of bounded vectors in a public space (a family of statistics); gradients (a family that takes
steps, DP-SGD); and the sum first, with a part of the budget, then gradients from weights that were pretrained on its
samples, which are public by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fedgen.errors import FedgenError
from fedgen.families.registry import specs
from fedgen.mechanisms.contract import SitePlan
from fedgen.planning.exchanged import exchanged
from fedgen.planning.signal import LEAST_OF_A_SUM, signals, together
from fedgen.recipe import Recipe
from fedgen.study.evidence_section import EvidenceSection
from fedgen.study.study import Study
from fedgen_privacy.accounting import Spend, epsilon_rdp

#: Share of epsilon that the sum takes where gradients follow it: a choice, and no measured optimum.
FIRST_SHARE = 1 / 3
#: How often the two epsilons are made smaller where, counted together, they would be more than was asked for.
TRIES = 4

Kind = Literal["sum", "sum then steps", "steps"]


@dataclass(frozen=True)
class Leg:
    """One study of an alternative.

    Attributes:
        family: that is trained.
        start: what its weights start from: `random`, `pretrained` of the study, or `samples` of the sum before it.
        epsilon: of it.
        noise: smallest and largest noise multiplier of the sites.
        parameters: P, numbers that are noised.
        signal: upper bound of signal to noise over all steps and sites, of its weakest contribution.
        rounds: aggregations.
        bytes: that one site sends and receives over all rounds; None where so few sites could not start.
    """

    family: str
    start: Literal["random", "pretrained", "samples"]
    epsilon: float
    noise: tuple[float, float]
    parameters: int
    signal: float
    rounds: int
    bytes: int | None


@dataclass(frozen=True)
class Alternative:
    """One means.

    Attributes:
        kind: which.
        families: of its legs.
        legs: what it consists of, in order; none where it cannot be had.
        epsilon: of both legs together for a patient who is in both, by RDP; None for less than two.
        why_not: why it cannot be had, as a sentence.
    """

    kind: Kind
    families: tuple[str, ...]
    legs: tuple[Leg, ...] = ()
    epsilon: float | None = None
    why_not: str | None = None

    @property
    def signal(self) -> float:
        """Of the last leg, which makes the release."""
        return self.legs[-1].signal

    @property
    def name(self) -> str:
        """As a table names it."""
        return " then ".join(self.families)


def alternatives(
    variants: Mapping[str, Study], patients: Sequence[int], preferred: Sequence[str] = ()
) -> tuple[Alternative, ...]:
    """Every means for these patients: sums first, then those in two stages, then steps.

    Args:
        variants: the study in each family that it can be of, all with privacy (`study.load.load_variants`).
        patients: training patients of each site; not empty.
        preferred: families of which the first of two stages is taken where one is above its noise.
    """
    private = {name: study for name, study in variants.items() if specs()[name].private}
    alone = [by_itself(study, patients) for study in private.values()]
    sums, steps = ([each for each in alone if each.kind == kind] for kind in ("sum", "steps"))
    first = most_telling(sums, preferred)
    twice: list[Alternative] = []
    if first is not None:
        statistic = private[first.families[0]]
        twice = [
            _twice(statistic, private[each.families[0]], patients)
            for each in steps
            if each.why_not is None and each.legs[0].start == "random"
        ]
    return (*sums, *twice, *steps)


def most_telling(sums: Sequence[Alternative], preferred: Sequence[str] = ()) -> Alternative | None:
    """Of sums above their noise a preferred one, else the longest, since fewer numbers are louder and say less.

    Where none is above its noise it is the loudest.
    """
    usable = [each for each in sums if each.why_not is None]
    above = [each for each in usable if each.signal >= LEAST_OF_A_SUM]
    above = [each for each in above if each.families[0] in preferred] or above
    if above:
        return max(above, key=lambda each: each.legs[0].parameters)
    return max(usable, key=lambda each: each.signal, default=None)


def by_itself(study: Study, patients: Sequence[int]) -> Alternative:
    """The study as it is, as one means."""
    kind: Kind = "steps" if study.steps else "sum"
    families = (study.model.family,)
    try:
        leg, _ = _leg(study, patients)
    except FedgenError as error:
        return Alternative(kind, families, why_not=str(error))
    return Alternative(kind, families, (leg,))


def _twice(statistic: Study, steps: Study, patients: Sequence[int]) -> Alternative:
    families = (statistic.model.family, steps.model.family)
    whole = epsilon = steps.privacy.epsilon
    without = statistic.model_copy(update={"evidence": EvidenceSection()})
    for _ in range(TRIES):
        try:
            # Evidence is of the last stage's release alone.
            first, spent = _leg(_at(without, FIRST_SHARE * whole), patients)
            second, more = _leg(_at(steps, (1 - FIRST_SHARE) * whole), patients, "samples")
        except FedgenError as error:
            return Alternative("sum then steps", families, why_not=str(error))
        both = max(
            epsilon_rdp([*before, *after], steps.privacy.delta)
            for before, after in zip(spent, more, strict=True)
        )
        if both <= epsilon:
            return Alternative("sum then steps", families, (first, second), both)
        # As a ledger counts, by RDP, which at small epsilons is further from PRV than two parts save.
        whole *= 0.99 * epsilon / both
    return Alternative("sum then steps", families, why_not="no split of epsilon keeps both within it")


def _at(study: Study, epsilon: float) -> Study:
    return study.model_copy(update={"privacy": study.privacy.model_copy(update={"epsilon": epsilon})})


def _leg(
    study: Study, patients: Sequence[int], start: Literal["samples"] | None = None
) -> tuple[Leg, list[list[Spend]]]:
    """The leg, and what it costs at each site, or at all of them as one."""
    recipe = Recipe.of(study)
    plans = site_plans(recipe, patients)
    found = [signals(recipe, plan, 1) for plan in plans]
    weakest = min(
        range(len(found[0])),
        key=lambda i: together([(p.weight, s[i].all_steps) for p, s in zip(plans, found, strict=True)]),
    )
    ratios = [(plan.weight, every[weakest].all_steps) for plan, every in zip(plans, found, strict=True)]
    spends = [plan.spend for plan in plans if plan.spend is not None]
    sigmas = [spend.noise_multiplier for spend in spends]
    leg = Leg(
        family=study.model.family,
        start=start or ("random" if study.model.pretrained is None else "pretrained"),
        epsilon=study.privacy.epsilon,
        noise=(min(sigmas), max(sigmas)),
        parameters=found[0][weakest].parameters,
        signal=together(ratios),
        rounds=study.total_rounds,
        bytes=_bytes(study, len(patients)),
    )
    return leg, [recipe.mechanism.turns.history(spend) for spend in spends]


def site_plans(recipe: Recipe, patients: Sequence[int]) -> list[SitePlan]:
    """The plan of each site, or of all of them as one where their patients count together.

    Raises:
        DataError, PrivacyRefusedError: a site would refuse the study, see `Mechanism.plan`.
    """
    mechanism = recipe.mechanism
    if mechanism.pooled:
        return [mechanism.plan(sum(patients), "all")]
    once = {size: mechanism.plan(size, f"{patients.index(size) + 1}") for size in dict.fromkeys(patients)}
    return [once[size] for size in patients]


def _bytes(study: Study, sites: int) -> int | None:
    if sites < study.aggregation.minimum_sites:
        return None
    sizes = exchanged(study, sites)
    return study.total_rounds * (sizes.model_bytes + sizes.update_bytes)
