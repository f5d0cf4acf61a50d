"""From an objective and its networks to losses that are functions of parameters and batch, as gradients need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from fedgen.families.contract import Apply, Draws, Objective
from fedgen.task.records import Records
from fedgen_privacy.gradients.protocol import BatchLoss, Params, RecordLoss
from fedgen_privacy.gradients.tree import Tree, tree_map


def trainable(objective: Objective, networks: Mapping[str, nn.Module]) -> Params:
    """Parameters the objective updates, named `network/parameter`; frozen ones are constants of its loss."""
    return {
        f"{network}/{name}": parameter
        for network in objective.updates
        for name, parameter in networks[network].named_parameters()
        if parameter.requires_grad
    }


def batch_loss(objective: Objective, networks: Mapping[str, nn.Module]) -> BatchLoss:
    """`loss(params, (records, draws)) -> (B,)` of a batch; networks that are not updated stay constant."""

    def loss(params: Params, batch: tuple[Records, Draws]) -> Tensor:
        records, draws = batch
        return objective.loss(_with_params(objective, networks, params), records, draws)

    return loss


def record_loss(objective: Objective, networks: Mapping[str, nn.Module]) -> RecordLoss:
    """`loss(params, record) -> scalar` of one record, for torch.func; see `batch_loss`."""
    return first_of(batch_loss(objective, networks))


def first_of(loss: BatchLoss) -> RecordLoss:
    """The loss of one record, as that of a batch of one."""

    def of_one(params: Params, record: Tree) -> Tensor:
        return loss(params, tree_map(lambda tensor: tensor.unsqueeze(0), record))[0]

    return of_one


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
