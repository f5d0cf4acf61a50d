"""An Adam optimizer's moments as named tensors, so that they can be saved without pickle."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def state_tensors(optimizers: Mapping[str, torch.optim.Adam]) -> dict[str, Tensor]:
    """`objective/parameter number/moment` to tensor; empty before the first step."""
    return {
        f"{name}/{number}/{moment}": state[moment].detach().clone().contiguous().cpu()
        for name, optimizer in optimizers.items()
        for number, state in optimizer.state_dict()["state"].items()
        for moment in MOMENTS
    }


def load_state(optimizers: Mapping[str, torch.optim.Adam], tensors: Mapping[str, Tensor]) -> None:
    """Put saved moments back; an optimizer without saved moments stays fresh."""
    for name, optimizer in optimizers.items():
        saved: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            owner, number, moment = key.split("/")
            if owner == name:
                saved.setdefault(int(number), {})[moment] = tensor
        if saved:
            optimizer.load_state_dict({**optimizer.state_dict(), "state": saved})
