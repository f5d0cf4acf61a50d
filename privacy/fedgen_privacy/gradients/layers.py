"""Each layer's gradient, record by record, from what went into it and the gradient of what came out.

A record owns r neighbouring rows of a layer's input (its images and draws), so R = b r. Every rule adds up the rows of
a record WITHIN the sum that makes the gradient: one gradient a record exists, never one a row. That is why Opacus'
samplers are not used: they keep one gradient a row, and their convolution misreads inputs that are not contiguous
(docs/decisions/opacus); torch's own operations, used here, read any memory format.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.nn.functional import group_norm
from torch.nn.grad import conv2d_weight, conv3d_weight

from fedgen_privacy.gradients.protocol import Params

#: layer, its parameters by local name, its inputs (R, ...), the gradient of its output (R, ...), and b, to the
#: gradients of its parameters (b, *shape)
Rule = Callable[[nn.Module, Params, tuple[Tensor, ...], Tensor, int], Params]


def of_records(rows: Tensor, b: int) -> Tensor:
    """(R, ...) as (b, r, ...)."""
    return rows.reshape(b, rows.shape[0] // b, *rows.shape[1:])


def linear(layer: nn.Module, params: Params, inputs: tuple[Tensor, ...], backprop: Tensor, b: int) -> Params:
    """sum over a record's rows and positions of (dL/dy) x^T."""
    g, x = backprop.reshape(b, -1, backprop.shape[-1]), inputs[0].reshape(b, -1, inputs[0].shape[-1])
    return _kept(params, weight=torch.bmm(g.transpose(1, 2), x.to(g.dtype)), bias=g.sum(dim=1))


def convolution(
    layer: nn.Module, params: Params, inputs: tuple[Tensor, ...], backprop: Tensor, b: int
) -> Params:
    """torch's own weight gradient of a convolution, mapped over records: one grouped convolution."""
    assert isinstance(layer, nn.Conv2d | nn.Conv3d) and not isinstance(layer.padding, str)
    weight_gradient = conv2d_weight if isinstance(layer, nn.Conv2d) else conv3d_weight
    shape, padding = params["weight"].shape, layer.padding

    def weight(x: Tensor, g: Tensor) -> Tensor:
        found: Tensor = weight_gradient(x, shape, g, layer.stride, padding, layer.dilation, layer.groups)
        return found

    x, g = of_records(inputs[0].to(backprop.dtype), b), of_records(backprop, b)
    return _kept(params, weight=vmap(weight)(x, g), bias=g.sum(dim=(1, *range(3, g.ndim))))


def group_normalisation(
    layer: nn.Module, params: Params, inputs: tuple[Tensor, ...], backprop: Tensor, b: int
) -> Params:
    """sum over a record's rows and positions of (dL/dy) times the normalised input."""
    assert isinstance(layer, nn.GroupNorm)
    normalised = group_norm(inputs[0], layer.num_groups, eps=layer.eps)
    by_channel = [
        of_records(t.flatten(2).sum(dim=2), b).sum(dim=1) for t in (backprop * normalised, backprop)
    ]
    return _kept(params, weight=by_channel[0], bias=by_channel[1])


def embedding(
    layer: nn.Module, params: Params, inputs: tuple[Tensor, ...], backprop: Tensor, b: int
) -> Params:
    """The gradients of what a record looked up, added up index by index."""
    index = inputs[0].reshape(b, -1)
    n, features = params["weight"].shape
    own = index + n * torch.arange(b, device=index.device)[:, None]
    total = backprop.new_zeros(b * n, features)
    total.index_add_(0, own.flatten(), backprop.reshape(-1, features))
    return {"weight": total.reshape(b, n, features)}


def any_layer(
    layer: nn.Module, params: Params, inputs: tuple[Tensor, ...], backprop: Tensor, b: int
) -> Params:
    """The vector-Jacobian product of the layer's own forward pass, mapped over records: for every other layer."""
    kind = next(iter(params.values())).dtype

    def own(rows: tuple[Tensor, ...], g: Tensor) -> Params:
        pull = vjp(lambda p: functional_call(layer, p, rows), params)[1]
        gradients: Params = pull(g)[0]
        return gradients

    rows = tuple(of_records(x.to(kind) if x.is_floating_point() else x, b) for x in inputs)
    found: Params = vmap(own)(rows, of_records(backprop.to(kind), b))
    return found


#: By exact type: a subclass may compute something else, and is served by its own forward pass.
RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: linear,
    nn.Conv2d: convolution,
    nn.Conv3d: convolution,
    nn.GroupNorm: group_normalisation,
    nn.Embedding: embedding,
}


def rule_of(layer: nn.Module) -> Rule:
    """The rule of a layer that has parameters of its own."""
    if isinstance(layer, nn.Conv2d | nn.Conv3d) and (
        layer.padding_mode != "zeros" or isinstance(layer.padding, str)
    ):
        return any_layer
    if isinstance(layer, nn.Embedding) and (layer.padding_idx is not None or layer.scale_grad_by_freq):
        return any_layer
    return RULES.get(type(layer), any_layer)


def _kept(params: Params, **found: Tensor) -> Params:
    """Those of the gradients whose parameter the layer has."""
    return {name: gradient for name, gradient in found.items() if name in params}
