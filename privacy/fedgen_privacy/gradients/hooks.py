"""Per-record gradients by hooks: one ordinary pass of the whole chunk, each layer's gradients taken on the way back.

The way of Opacus (Yousefpour et al. 2021) with three differences: the rows of a record are added up within each layer
(`layers.py`); hooks exist only during a forward pass of the step, so that nothing else triggers them and nothing is
left on a parameter; and gradients of whole batches, which nobody reads, are not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fedgen_privacy.errors import PrivacyRefusedError
from fedgen_privacy.gradients.layers import Rule, rule_of
from fedgen_privacy.gradients.protocol import Batch, BatchLoss, Params, pieces, size_of

DIFFERENTIATES = "the loss differentiates a network by itself, as a gradient penalty does"

#: Told a layer's gradients (b, *shape), by name of the parameter in the layer.
Collect = Callable[[Params], None]


class HookedGradients:
    """The gradients of `loss`, by hooks; a `Gradients`.

    Args:
        loss: of each record. It calls the networks with the parameters it is given (`torch.func.functional_call`),
            and with rows of which the first R / b belong to the first of b records, and so on.
        networks: those that are differentiated; their parameters are named `network/parameter`.
        rule: of each layer that has parameters.

    Raises:
        PrivacyRefusedError: a network normalises with batch statistics.
    """

    def __init__(
        self,
        loss: BatchLoss,
        networks: Mapping[str, nn.Module],
        rule: Callable[[nn.Module], Rule] = rule_of,
    ) -> None:
        self._loss = loss
        self._networks = networks
        self._rule = rule
        self._layers = [found for name, network in networks.items() for found in _layers(name, network)]
        # By identity, since a parameter that two layers share has one name.
        names = {
            id(p): f"{name}/{local}" for name, n in networks.items() for local, p in n.named_parameters()
        }
        self._names = {
            name: {local: names[id(p)] for local, p in layer.named_parameters()}
            for name, layer in self._layers
        }
        for name, layer in self._layers:
            if isinstance(layer, _BatchNorm):
                raise _refused(f"layer {name} normalises with statistics of the whole batch")

    def __call__(self, params: Params, batch: Batch, *, chunk: int) -> Iterator[tuple[Params, Tensor]]:
        """Go through the batch, see `Gradients`.

        Raises:
            PrivacyRefusedError: a forward pass wrote to a buffer, or used a layer or a parameter in a way that
                leaves its gradient unknown.
        """
        for piece in pieces(batch, chunk):
            yield self._piece(params, piece)

    def _piece(self, params: Params, piece: Batch) -> tuple[Params, Tensor]:
        b = size_of(piece)
        found: Params = {}
        root = torch.zeros((), device=next(iter(params.values())).device, requires_grad=True)

        running = True

        def collector(layer: str) -> Collect:
            def collect(gradients: Params) -> None:
                if running:
                    # The gradient of something else than the loss would be taken for the record's.
                    raise _refused(DIFFERENTIATES)
                for local, gradient in gradients.items():
                    key = self._names[layer][local]
                    if key not in params:
                        # frozen beside what is trained, as under an adapter
                        continue
                    gradient = gradient.to(params[key].dtype)
                    found[key] = found[key] + gradient if key in found else gradient

            return collect

        before = self._buffers()
        try:
            with torch.enable_grad(), self._hooked(root, b, collector, params):
                losses = self._loss({name: p.detach() for name, p in params.items()}, piece)
        except RuntimeError as error:
            # What torch.func says of a tap on its way.
            if "setup_context" not in str(error):
                raise
            raise _refused(DIFFERENTIATES) from None
        running = False
        if any(not torch.equal(old, new) for old, new in zip(before, self._buffers(), strict=True)):
            raise _refused("a forward pass writes to a buffer")
        if losses.requires_grad:
            torch.autograd.grad(losses.sum(), root, allow_unused=True)
        missing = sorted(set(params) - set(found))
        if missing:
            raise _refused(
                f"no gradient of {missing[0]} was seen, since its layer was not called as a module"
            )
        return {name: found[name] for name in params}, losses.detach()

    @contextmanager
    def _hooked(
        self, root: Tensor, b: int, collector: Callable[[str], Collect], params: Params
    ) -> Iterator[None]:
        handles = [
            layer.register_forward_hook(
                _tapping(root, b, name, self._rule(layer), collector(name)), with_kwargs=True
            )
            for name, layer in self._layers
            if not params.keys().isdisjoint(self._names[name].values())
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _buffers(self) -> list[Tensor]:
        """A copy of every buffer: torch counts its writes, but not those through `.data`, as MONAI's codebook has."""
        return [buffer.clone() for network in self._networks.values() for buffer in network.buffers()]


def _layers(prefix: str, module: nn.Module, join: str = "/") -> Iterator[tuple[str, nn.Module]]:
    """Layers with parameters of their own, by name; what is inside such a layer belongs to it."""
    if next(module.parameters(recurse=False), None) is not None:
        yield prefix, module
        return
    for name, child in module.named_children():
        yield from _layers(f"{prefix}{join}{name}", child, ".")


def _tapping(root: Tensor, b: int, name: str, rule: Rule, collect: Collect) -> Callable[..., Tensor]:
    def hook(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Tensor:
        tensors = all(isinstance(value, Tensor) for value in (*args, output))
        if kwargs or not tensors or any(len(x) % b or len(x) != len(output) for x in args):
            raise _refused(f"layer {name} was called with other things than rows of {b} records")
        params = {local: p.detach() for local, p in layer.named_parameters()}
        inputs = tuple(x.detach() for x in args)

        def take(saved: tuple[Tensor, ...], backprop: Tensor) -> None:
            collect(rule(layer, params, saved, backprop, b))

        tapped: Tensor = _Tap.apply(output, root, take, *inputs)
        return tapped

    return hook


class _Tap(torch.autograd.Function):
    """The identity, which shows a layer's inputs and the gradient of its output to `take` on the way back.

    It depends on `root`, so that asking for the gradient of `root` makes autograd visit every layer and compute no
    other gradient. Inputs are saved by autograd, which objects if they were overwritten meanwhile.
    """

    @staticmethod
    def forward(ctx: Any, output: Tensor, root: Tensor, take: Any, *inputs: Tensor) -> Tensor:
        ctx.take = take
        ctx.save_for_backward(*inputs)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *backprops: Tensor) -> Any:
        (backprop,) = backprops
        ctx.take(ctx.saved_tensors, backprop)
        ctx.take = None
        return backprop, torch.zeros((), device=backprop.device), None, *(None for _ in ctx.saved_tensors)


def _refused(why: str) -> PrivacyRefusedError:
    return PrivacyRefusedError(
        f"Hooks cannot give exact gradients of each patient because {why}: set training.gradients to vmap."
    )
