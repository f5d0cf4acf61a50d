"""How loud the gradient can be beside the noise: an upper bound, known before a patient is touched.

In a private step the sum of clipped gradients has a norm of at most C a sampled patient, so of B C in expectation,
reached only where every patient's gradient is clipped and all of them point the same way. The noise has the standard
deviation sigma C in each of P coordinates, so a root-mean-square norm of sigma C sqrt(P) (Abadi et al., CCS 2016,
algorithm 1). Their ratio is B / (sigma sqrt(P)): C cancels. Noise of T steps, and of n sites, is independent, so a
gradient averaged over them gains sqrt(T) and sqrt(n).

A sum of vectors of norm at most 1 over all N patients is such a step with B = N, its length in place of P, and T = 1.

Objectives that read patients in the same steps are one vector under one clip, so that P counts all their coordinates.
Of those that share only some of their steps each is bounded by itself, as if the others asked for nothing.

It is no forecast of quality. Real gradients disagree and change from step to step, so the true ratio is lower, by an
unknown factor; and noise in directions the loss does not see does no harm. No threshold of this ratio below which
training fails is known to us, and none is pretended: `fedgen.planning.published` gives a recipe with published results
to compare with.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from fedgen.families.contract import Objective, objectives_of, statistics_of
from fedgen.mechanisms.contract import SitePlan
from fedgen.recipe import Recipe
from fedgen.training.functional import trainable
from fedgen.training.joint import mechanism_steps

#: Signal to noise of a sum below which its noise is longer than the sum could be at all.
LEAST_OF_A_SUM = 1.0

#: (family, model, task, what it starts from, names of the objectives) -> P by objective
_counted: dict[Hashable, dict[str, int]] = {}


@dataclass(frozen=True)
class Signal:
    """Upper bounds of signal to noise of one private sum, or of the objectives of a step; ratios of norms, > 0.

    Attributes:
        objective: its name in the family, or theirs.
        parameters: P, the coordinates that are noised.
        steps: T, private steps of it in the whole study.
        one_step: B / (sigma sqrt(P)).
        all_steps: one_step sqrt(T).
        all_sites: all_steps sqrt(n), were all n sites like this one.
    """

    objective: str
    parameters: int
    steps: int
    one_step: float
    all_steps: float
    all_sites: float


def together_always(objectives: Iterable[Objective]) -> dict[str, tuple[Objective, ...]]:
    """The objectives that read data, with those beside each other that do so in the same steps; by their names."""
    groups: dict[int, list[Objective]] = {}
    for objective in objectives:
        if objective.touches_data:
            groups.setdefault(objective.every, []).append(objective)
    return {" and ".join(each.name for each in group): tuple(group) for group in groups.values()}


def private_parameters(recipe: Recipe) -> dict[str, int]:
    """P of the objectives that read data, by the names of those that do so in the same steps."""
    groups = together_always(objectives_of(recipe.family))
    # By its hash: a file of weights may be large, and what is remembered stays.
    start = None if recipe.start is None else hashlib.sha256(recipe.start.content).hexdigest()
    # A search asks of many a study that differs in its batch or rounds alone, and to build networks takes longest.
    key = (type(recipe.plain_family), recipe.study.model.model_dump_json(), recipe.task, start, *groups)
    if key not in _counted:
        networks = recipe.blank_networks()
        _counted[key] = {
            name: sum(p.numel() for each in group for p in trainable(each, networks).values())
            for name, group in groups.items()
        }
    return _counted[key]


def signal(objective: str, *, batch: float, sigma: float, parameters: int, steps: int, sites: int) -> Signal:
    """The three ratios of one sum, or of the objectives of a step.

    Args:
        objective: its name, or theirs.
        batch: B > 0, expected patients of a step.
        sigma: noise multiplier, > 0.
        parameters: P >= 1.
        steps: T >= 1.
        sites: n >= 1 sites with the same B and sigma.
    """
    one_step = batch / (sigma * math.sqrt(parameters))
    all_steps = one_step * math.sqrt(steps)
    return Signal(objective, parameters, steps, one_step, all_steps, all_steps * math.sqrt(sites))


def signals(recipe: Recipe, plan: SitePlan, sites: int) -> tuple[Signal, ...]:
    """Signal to noise at one site of each sum, and of the objectives that step together, in the order of asking.

    Args:
        recipe: of a study with privacy.
        plan: the site's plan under the study.
        sites: n, sites of the federation.
    """
    if plan.spend is None:
        raise ValueError("a plan without privacy has no noise to compare with")
    study, family = recipe.study, recipe.family
    parameters = private_parameters(recipe)
    sigma = plan.spend.noise_multiplier
    sums = tuple(
        signal(
            statistic.name,
            batch=plan.spend.sampling_rate * plan.patients,
            sigma=sigma,
            parameters=statistic.length,
            steps=1,
            sites=sites,
        )
        for statistic in statistics_of(family)
    )
    steps = {
        name: mechanism_steps(group, study.training.local_steps)
        for name, group in together_always(objectives_of(family)).items()
    }
    return sums + tuple(
        signal(
            name,
            batch=plan.local.batch,
            sigma=sigma,
            parameters=parameters[name],
            steps=study.training.rounds * taken,
            sites=sites,
        )
        for name, taken in steps.items()
        if taken
    )


def together(sites: Sequence[tuple[float, float]]) -> float:
    """The ratio of the weighted mean over sites that are not alike.

    Of the mean signals add up to C at most, and independent noises add up in squares: sum w / sqrt(sum (w / r)^2),
    which is sqrt(n) r for n sites alike.

    Args:
        sites: weight w > 0 of each site in the mean and its ratio r > 0 over all steps; not empty.
    """
    noise = math.sqrt(sum((weight / ratio) ** 2 for weight, ratio in sites))
    return sum(weight for weight, _ in sites) / noise


def required_batch_over_sigma(ratio: float, weakest: Signal, sites: int) -> float:
    """B / sigma at which `weakest.all_sites` would be `ratio`, at its own P, T and n."""
    return ratio * math.sqrt(weakest.parameters / (weakest.steps * sites))
