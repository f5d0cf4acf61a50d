"""Which layer mixes patients or keeps something of them, and what to use instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from fedgen.training.held import Held, changed

B = TypeVar("B")

MIXES = "lets one patient's images change what another's give, so that no clip bounds a patient"
WRITES = "keeps something of the patients' images outside the gradient, which no noise covers"


@dataclass(frozen=True)
class Blame:
    """What is unsound.

    Attributes:
        where: the layer; empty where it is the loss itself.
        why: what it does, and what to use instead.
    """

    where: str
    why: str


def holder_of_change(networks: Mapping[str, nn.Module], before: Held, after: Held) -> Blame | None:
    """The first layer, or the objective, that holds something else than before; None where none does."""
    for network, path, name in changed(before, after):
        if not network:
            return Blame("", f"{WRITES} (in its {name}): let it see the records of one step alone")
        module = networks[network].get_submodule(path)
        return Blame(
            _named(network, path, module), f"{WRITES} (in its {name}): {_instead_of_writing(module)}"
        )
    return None


def layer_that_mixes(
    networks: Mapping[str, nn.Module],
    run: Callable[[B], object],
    one: B,
    other: B,
    changed_record: int,
    records: int,
) -> Blame:
    """The first layer whose inputs for the records that stay are the same in both batches, and whose outputs are not.

    Args:
        networks: that the loss calls.
        run: the loss, of a batch.
        one, other: batches that differ in `changed_record` alone.
        changed_record: its number.
        records: how many there are.
    """
    first, second = (_calls(networks, run, batch) for batch in (one, other))

    def rows(values: Any) -> list[Tensor]:
        tensors = [value for value in _tensors(values) if value.ndim and len(value) % records == 0]
        kept = [b for b in range(records) if b != changed_record]
        return [value.unflatten(0, (records, -1))[kept] for value in tensors]

    for a, b in zip(first, second, strict=False):
        same_inputs = a.module is b.module and _equal(rows(a.inputs), rows(b.inputs))
        if same_inputs and not _equal(rows(a.outputs), rows(b.outputs)):
            return Blame(_named(a.network, a.path, a.module), f"{MIXES}: {_instead_of_mixing(a.module)}")
    return Blame(
        "", f"{MIXES}, as a batch-wise contrastive loss does: compare a patient's own images and draws"
    )


@dataclass(frozen=True)
class _Call:
    network: str
    path: str
    module: nn.Module
    inputs: Any
    outputs: Any


def _calls(networks: Mapping[str, nn.Module], run: Callable[[B], object], batch: B) -> list[_Call]:
    """Every call of every layer in the order in which they end, so that a layer comes before what holds it."""
    calls: list[_Call] = []

    def watch(network: str, path: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            inputs = [t.clone() for t in _tensors((args, kwargs))]
            calls.append(_Call(network, path, module, inputs, [t.clone() for t in _tensors(output)]))

        return hook

    handles = [
        part.register_forward_hook(watch(network, path), with_kwargs=True)
        for network, module in networks.items()
        for path, part in module.named_modules()
    ]
    try:
        run(batch)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values.detach()]
    if isinstance(values, Mapping):
        values = list(values.values())
    return (
        [tensor for value in values for tensor in _tensors(value)] if isinstance(values, list | tuple) else []
    )


def _equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(
        x.shape == y.shape and torch.allclose(x.double(), y.double(), rtol=1e-5, atol=1e-7)
        for x, y in zip(a, b, strict=True)
    )


def _named(network: str, path: str, module: nn.Module) -> str:
    layer = f"layer {path} " if path else ""
    return f"{layer}({type(module).__name__}) of its network {network}"


def _instead_of_mixing(module: nn.Module) -> str:
    if isinstance(module, _BatchNorm):
        return "use GroupNorm or InstanceNorm"
    if "minibatch" in type(module).__name__.lower():
        return "leave minibatch discrimination out"
    return "use a layer that looks at one row at a time"


def _instead_of_writing(module: nn.Module) -> str:
    if isinstance(module, _BatchNorm):
        return "use GroupNorm or InstanceNorm"
    if isinstance(module, _InstanceNorm):
        return "do not let it track running statistics"
    if any(word in type(module).__name__.lower() for word in ("quantiz", "codebook")):
        return "train the codebook by its gradient"
    return "make it a parameter, or leave it out"
