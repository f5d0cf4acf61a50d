"""An Adam optimizer's moments as named tensors, so that they can be saved without pickle.

Beside them travels what the optimizer's objective remembers (`Objective.remember`), which lies in the parameter
group, where torch's own schedulers keep what they need.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedgen.families.contract import Memory

MOMENTS = ("exp_avg", "exp_avg_sq", "step")
MEMORY = "memory"


def memory_of(optimizer: torch.optim.Adam) -> Memory:
    """What the optimizer's objective remembers; empty before it remembers anything."""
    memory: Memory = optimizer.param_groups[0].get(MEMORY, {})
    return memory


def remember(optimizer: torch.optim.Adam, memory: Memory) -> None:
    """Replace what the optimizer's objective remembers."""
    optimizer.param_groups[0][MEMORY] = dict(memory)


def state_tensors(optimizers: Mapping[str, torch.optim.Adam]) -> dict[str, Tensor]:
    """`objective/parameter number/moment` and `objective/memory/name` to tensor; empty before the first step."""
    moments = {
        f"{name}/{number}/{moment}": state[moment].detach().clone().contiguous().cpu()
        for name, optimizer in optimizers.items()
        for number, state in optimizer.state_dict()["state"].items()
        for moment in MOMENTS
    }
    memories = {
        f"{name}/{MEMORY}/{key}": tensor.detach().clone().cpu()
        for name, optimizer in optimizers.items()
        for key, tensor in memory_of(optimizer).items()
    }
    return {**moments, **memories}


def load_state(optimizers: Mapping[str, torch.optim.Adam], tensors: Mapping[str, Tensor]) -> None:
    """Put saved moments and memories back; an optimizer without saved ones stays fresh."""
    for name, optimizer in optimizers.items():
        saved: dict[int, dict[str, Tensor]] = {}
        memory: dict[str, Tensor] = {}
        for key, tensor in tensors.items():
            owner, place, part = key.split("/")
            if owner != name:
                continue
            if place == MEMORY:
                memory[part] = tensor
            else:
                saved.setdefault(int(place), {})[part] = tensor
        if saved:
            optimizer.load_state_dict({**optimizer.state_dict(), "state": saved})
        if memory:
            remember(optimizer, memory)
