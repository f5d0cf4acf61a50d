"""Which backend computes per-record gradients, and in which precision the networks run.

Neither changes what is released beyond rounding: clip, sum and noise are the same float32 code after each.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fedgen.families.contract import Objective
from fedgen.families.registry import specs
from fedgen.training.functional import batch_loss, first_of
from fedgen_privacy.gradients.hooks import HookedGradients
from fedgen_privacy.gradients.protocol import BatchLoss, Gradients, Params
from fedgen_privacy.gradients.vmap import vmapped

Backend = Literal["vmap", "hooks"]
BACKENDS: tuple[Backend, ...] = ("vmap", "hooks")
Precision = Literal["float32", "bfloat16"]


def backend_for(asked: Literal["auto", "vmap", "hooks"], family: str, device: str) -> Backend:
    """What `training.gradients` means for this family on this device; auto is vmap where none was measured."""
    return specs()[family].fastest.get(torch.device(device).type, "vmap") if asked == "auto" else asked


def gradients_of(
    objective: Objective,
    networks: Mapping[str, nn.Module],
    backend: Backend = "vmap",
    precision: Precision = "float32",
) -> Gradients:
    """Per-record gradients of the objective for the networks it updates; by vmap where hooks cannot follow its loss."""
    loss = batch_loss(objective, networks)
    if precision == "bfloat16":
        loss = _mixed(loss)
    if backend == "hooks" and not objective.second_order:
        return HookedGradients(loss, {name: networks[name] for name in objective.updates})
    return vmapped(first_of(loss))


def casting(precision: Precision, device: str) -> AbstractContextManager[None]:
    """The context in which a forward pass runs in this precision; parameters and gradients stay float32."""
    if precision == "float32":
        return nullcontext()
    # No cache of casts: one made inside vmap must not live longer than it.
    return torch.autocast(torch.device(device).type, torch.bfloat16, cache_enabled=False)


def _mixed(loss: BatchLoss) -> BatchLoss:
    def in_bfloat16(params: Params, batch: Any) -> Tensor:
        with casting("bfloat16", next(iter(params.values())).device.type):
            return loss(params, batch).float()

    return in_bfloat16
