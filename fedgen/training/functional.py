"""From an objective and its networks to the loss of one record, as the private step differentiates it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from fedgen.models.family import Apply, Draws, Objective, Records

Params = dict[str, Tensor]
RECORD_KEYS = ("images", "labels", "weights")


def trainable(objective: Objective, networks: Mapping[str, nn.Module]) -> Params:
    """Parameters the objective updates, named `network/parameter`; frozen ones are constants of its loss."""
    return {
        f"{network}/{name}": parameter
        for network in objective.updates
        for name, parameter in networks[network].named_parameters()
        if parameter.requires_grad
    }


def batch_tensors(records: Records, draws: Draws) -> dict[str, Tensor]:
    """One dictionary of everything a record's loss reads, each tensor with B first."""
    return {
        "images": records.images,
        "labels": records.labels,
        "weights": records.weights,
        **{f"draws/{name}": tensor for name, tensor in draws.items()},
    }


def record_loss(
    objective: Objective, networks: Mapping[str, nn.Module]
) -> Callable[[Params, dict[str, Tensor]], Tensor]:
    """`loss(params, record) -> scalar` of one record, for torch.func; networks not updated stay constant."""

    def loss(params: Params, record: dict[str, Tensor]) -> Tensor:
        one = {name: tensor.unsqueeze(0) for name, tensor in record.items()}
        records = Records(**{name: one[name] for name in RECORD_KEYS})
        draws = {name.removeprefix("draws/"): t for name, t in one.items() if name.startswith("draws/")}
        return objective.loss(_with_params(objective, networks, params), records, draws)[0]

    return loss


def _with_params(objective: Objective, networks: Mapping[str, nn.Module], params: Params) -> dict[str, Apply]:
    calls: dict[str, Apply] = {}
    for name, network in networks.items():
        if name in objective.updates:
            own = {key.removeprefix(f"{name}/"): p for key, p in params.items() if key.startswith(f"{name}/")}
            calls[name] = _call(network, own)
        else:
            constants = {key: p.detach() for key, p in network.named_parameters()}
            calls[name] = _call(network, constants)
    return calls


def _call(network: nn.Module, params: Params) -> Apply:
    def call(*args: Any, **kwargs: Any) -> Any:
        return functional_call(network, params, args, kwargs)

    return call
