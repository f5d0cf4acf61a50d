"""The kind diffusion: a straight flow between image and noise, for a mask (Liu et al. 2023; Lipman et al. 2023).

x_t = (1 - t) y + t n, and the network predicts the velocity dx/dt = n - y.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.families.spade.mask_generator import mask_of
from fedgen.families.spade.options import SpadeOptions
from fedgen.task.records import Records
from fedgen.task.task import Task


class FlowObjective(Objective):
    """|F(x_t, t; m, y) - (n - y)|^2, mean over pixels and K draws, with a standard normal ln(t / (1 - t)).

    Such times are mostly in the middle of the way, where most is to be learned (Esser et al. 2024).
    """

    name = "flow"
    updates = ("unet",)
    touches_data = True
    #: noise of variance 1 and an image in [-1, 1]
    loss_bound = 2.0

    def __init__(self, task: Task, options: SpadeOptions) -> None:
        self.task, self.image = task, task.image
        self.optimizer = Adam(options.learning_rate)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`level`: (B, M, K), of which times are made; `noise`: (B, M, K, C, *size); both standard normal."""
        return {
            "level": torch.randn(B, M, K, generator=rng, device=rng.device),
            "noise": torch.randn(B, M, K, *self.image.shape, generator=rng, device=rng.device),
        }

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        if records is None:
            raise ValueError("the flow's objective needs records")
        weights = records.weights["patient"]
        K = draws["level"].shape[2]
        given = condition_of(self.task, records.fields, weights)
        y, condition = fold(records.fields["image"], given, K)
        masks = fold(records.fields[mask_of(self.task)[0]], given, K)[0]
        t, n = torch.sigmoid(rows(draws["level"])), rows(draws["noise"])
        at = t.reshape(-1, *[1] * (y.ndim - 1))
        F = networks["unet"]((1 - at) * y + at * n, t, masks, condition)
        return patient_mean((F - (n - y)).square().flatten(1).mean(dim=1), weights)


def follow(F: Callable[[Tensor, Tensor], Tensor], noise: Tensor, steps: int) -> Tensor:
    """From noise at t = 1 to images at t = 0, by Heun's second-order steps of equal length.

    Args:
        F: velocity of x (n, ...) at times (n,).
        noise: (n, ...) standard normal.
        steps: each asks F twice, the last one once.
    """
    x = noise
    times = torch.linspace(1, 0, steps + 1).tolist()
    for now, then in pairwise(times):
        first = F(x, x.new_full((len(x),), now))
        ahead = x + (then - now) * first
        if then > 0:
            second = F(ahead, x.new_full((len(x),), then))
            ahead = x + (then - now) * (first + second) / 2
        x = ahead
    return x
