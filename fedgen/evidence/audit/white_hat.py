"""What reconstructions share: a patient's vector as a function of her images, and how long one may try."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from fedgen.evidence.open_model import OpenModel
from fedgen.families.contract import Draws, objectives_of, statistics_of
from fedgen.task.records import Records
from fedgen.training.functional import trainable
from fedgen.training.joint import reading

#: Steps of an optimisation, at least and at most.
LEAST, MOST = 16, 1024


def steps_within(seconds: float, times: int, step: Callable[[], object]) -> int:
    """A power of two steps, so many `times` of which take these seconds or less; `LEAST` where not even they do.

    A power of two, so that one machine chooses the same number again although no two steps take the same time.
    """
    step()
    begin = time.perf_counter()
    step()
    possible = seconds / max((time.perf_counter() - begin) * times, 1e-9)
    chosen = LEAST
    while 2 * chosen <= min(possible, MOST):
        chosen *= 2
    return chosen


def drawn(inside: OpenModel, M: int, rng: torch.Generator) -> dict[str, Draws]:
    """The random numbers of one record of M images, by contribution."""
    return {each.name: each.draw(1, M, 1, rng) for each in inside.recipe.family.contributions()}


def vector_of(inside: OpenModel, records: Records, draws: Mapping[str, Draws]) -> Tensor:
    """What one patient contributes to a step, before any clip, (d,); it can be differentiated by her images.

    Of objectives the gradients of those that read data in a first step, of a family of sums the vector of the first.
    """
    recipe, networks = inside.recipe, inside.networks
    joint = reading(objectives_of(recipe.family), 1)
    if joint is None:
        statistic = statistics_of(recipe.family)[0]
        return statistic.vectors(networks, records, draws[statistic.name])[0]
    parts: list[Tensor] = []
    # Kernels that cannot be differentiated twice would stop a gradient of a gradient.
    with sdpa_kernel(SDPBackend.MATH):
        for objective in joint.objectives:
            loss = objective.loss(networks, records, draws[objective.name]).sum()
            params = list(trainable(objective, networks).values())
            parts += torch.autograd.grad(
                loss, params, create_graph=True, allow_unused=True, materialize_grads=True
            )
    return torch.cat([part.flatten() for part in parts])
