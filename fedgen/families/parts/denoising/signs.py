"""By what a denoiser gives its training records away: its error at fixed noise levels, and of several exact steps."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from fedgen.families.parts.denoising.ddpm import ddpm_sigma
from fedgen.families.parts.denoising.edm import Denoiser
from fedgen.families.parts.denoising.objective import DenoisingObjective
from fedgen.families.parts.minus_loss import minus_loss_at
from fedgen.task.records import Records

#: Noise levels of the loss attack, at the middles of so many equal shares of those of training, and noises at each.
LEVELS, NOISES = 8, 2
#: Times of DDPM between which Duan et al. 2023 step: the hundredth of a thousand, reached in ten steps, and one more.
TIMES = torch.linspace(0.01, 0.11, 11, dtype=torch.float64)


def minus_errors(
    objective: DenoisingObjective,
    networks: Mapping[str, nn.Module],
    records: Records,
    *,
    chunk: int,
    rng: torch.Generator,
) -> Tensor:
    """Minus the denoising loss at each of `LEVELS` fixed noise levels, (B, LEVELS) (Matsumoto et al. 2023).

    Their mean is minus the training's own loss with its levels stratified: none is chosen by what it finds.

    Args:
        objective: whose loss it is; it drops no condition.
        networks: the family's networks.
        records: B of them.
        chunk: records evaluated at once.
        rng: of the noises, which are the same for every record.
    """
    M = records.weights["patient"].shape[1]
    drawn = objective.draw(1, M, LEVELS * NOISES, rng)
    share = (torch.arange(LEVELS, dtype=torch.float64, device=rng.device) + 0.5) / LEVELS
    level = objective.parametrization.quantile(share).repeat_interleave(NOISES).to(drawn["level"])
    drawn["level"] = level.expand(1, M, -1)
    columns = []
    for k in range(LEVELS):
        own = {name: draw[:, :, k * NOISES : (k + 1) * NOISES] for name, draw in drawn.items()}
        columns.append(minus_loss_at(objective, networks, records, own, chunk=chunk))
    return torch.stack(columns, dim=1)


def step_errors(D: Denoiser, x: Tensor) -> Tensor:
    """The t-error of SecMI (Duan et al. 2023), in EDM's scaling, (n,).

    An image is led along the flow to the level of `TIMES`' last but one, then a step on and that step back: the less
    the flow bends there, the less is missed, and it bends least where it was trained. Nothing is random.

    Args:
        D: the denoiser.
        x: (n, ...) images.
    """
    sigma = ddpm_sigma(TIMES).to(x)

    def direction(x: Tensor, level: Tensor) -> Tensor:
        return (x - D(x, level.expand(len(x)))) / level

    for here, there in pairwise(sigma[:-1]):
        x = x + (there - here) * direction(x, here)
    here, there = sigma[-2], sigma[-1]
    on = x + (there - here) * direction(x, here)
    back = on + (here - there) * direction(on, there)
    return ((back - x) / here).square().flatten(1).mean(dim=1)
