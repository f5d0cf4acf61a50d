"""Server optimizers on the mean update, taken as a negative gradient (Reddi et al., ICLR 2021, algorithm 2).

The mean update is all they see, so they are post-processing of what the sites' noise has covered.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedgen.study.training import ServerOptimizer

#: tau of FedAdam: how adaptive it is; the paper's default.
TAU = 1e-3


def server_update(
    options: ServerOptimizer, delta: Tensor, state: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """What is added to the model, and the optimizer's state after.

    Args:
        options: which optimizer.
        delta: (P,) mean update of the round.
        state: before; empty in the first round.

    Returns:
        (P,) eta delta (average), eta m with m = beta_1 m + delta (momentum, FedAvgM), or eta m / (sqrt(v) + tau) with
        m and v the moving averages of delta and its square (adam).
    """
    eta, beta_1 = options.learning_rate, options.beta_1
    if options.name == "average":
        return eta * delta, {}
    m = state.get("m", torch.zeros_like(delta))
    if options.name == "momentum":
        m = beta_1 * m + delta
        return eta * m, {"m": m}
    m = beta_1 * m + (1 - beta_1) * delta
    v = options.beta_2 * state.get("v", torch.zeros_like(delta)) + (1 - options.beta_2) * delta.square()
    return eta * m / (v.sqrt() + TAU), {"m": m, "v": v}
