"""Low-rank adapters (LoRA: Hu et al., ICLR 2022): frozen layers that learn W + (alpha / r) B A.

B starts at zero, so an adapted network begins exactly as the frozen one. The sum of both is formed before the layer is
applied: at the sizes of these networks one convolution with a whole kernel takes less time than the low-rank path
beside it, whose own per-record gradients are convolutions in many small groups.

A layer keeps the names of its frozen parameters, `weight` and `bias`, beside `adapter_A` and `adapter_B`; only these
two ask for gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from monai.networks.blocks import SABlock
from torch import Tensor, nn
from torch.nn.functional import linear

from fedgen.errors import StudyError
from fedgen.families.parts.adapter_options import Adapters

#: Layers that adapters know besides the linear one.
Convolution = nn.Conv2d | nn.Conv3d
L = TypeVar("L", nn.Linear, nn.Conv2d, nn.Conv3d)


class AdaptedLinear(nn.Linear):
    """x (W + s B A)^T + b, with A (r, in), B (out, r) and s = alpha / rank.

    Args:
        frozen: the layer whose parameters are shared, and asked for no gradient.
        options: rank and alpha; r is at most the smaller side of W.
    """

    def __init__(self, frozen: nn.Linear, options: Adapters) -> None:
        super().__init__(frozen.in_features, frozen.out_features, bias=frozen.bias is not None, device="meta")
        self.weight, self.bias = frozen.weight, frozen.bias
        r = min(options.rank, frozen.in_features, frozen.out_features)
        self.scale = options.alpha / options.rank
        self.adapter_A = nn.Parameter(frozen.weight.new_empty(r, frozen.in_features))
        self.adapter_B = nn.Parameter(frozen.weight.new_zeros(frozen.out_features, r))
        nn.init.kaiming_uniform_(self.adapter_A, a=math.sqrt(5))

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return linear(input, self.summed(), self.bias)

    def summed(self) -> Tensor:
        """W + s B A, (out, in)."""
        return self.weight + self.scale * self.adapter_B @ self.adapter_A

    def merged(self) -> nn.Linear:
        """A plain layer with the same outputs."""
        plain = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        return _with_parameters(plain, self.summed(), self.bias)


class _AdaptedConvolution:
    """A convolution with W + s B A, where A (r, in, *kernel) is r kernels of W's size and B (out, r) mixes them.

    Args:
        frozen: the layer whose parameters are shared, and asked for no gradient; groups must be 1.
        options: rank and alpha; r is at most the smaller side of W as an (out, in * kernel) matrix.
    """

    weight: Tensor
    bias: Tensor | None
    _conv_forward: Callable[..., Tensor]

    def __init__(self, frozen: Convolution, options: Adapters) -> None:
        super().__init__(**_geometry(frozen))
        self.weight, self.bias = frozen.weight, frozen.bias
        out, *fan_in = frozen.weight.shape
        r = min(options.rank, out, math.prod(fan_in))
        self.scale = options.alpha / options.rank
        self.adapter_A = nn.Parameter(frozen.weight.new_empty(r, *fan_in))
        self.adapter_B = nn.Parameter(frozen.weight.new_zeros(out, r))
        nn.init.kaiming_uniform_(self.adapter_A, a=math.sqrt(5))

    def forward(self, input: Tensor) -> Tensor:
        """(n, in, *size) to (n, out, *size')."""
        # The layer's own way to convolve, with its stride, dilation and mode of padding.
        return self._conv_forward(input, self.summed(), self.bias)

    def summed(self) -> Tensor:
        """W + s B A, (out, in, *kernel)."""
        return self.weight + self.scale * torch.einsum("or,r...->o...", self.adapter_B, self.adapter_A)


class AdaptedConv2d(_AdaptedConvolution, nn.Conv2d):
    """Along two axes."""

    def merged(self) -> nn.Conv2d:
        """A plain layer with the same outputs."""
        return _with_parameters(nn.Conv2d(**_geometry(self)), self.summed(), self.bias)


class AdaptedConv3d(_AdaptedConvolution, nn.Conv3d):
    """Along three axes."""

    def merged(self) -> nn.Conv3d:
        """A plain layer with the same outputs."""
        return _with_parameters(nn.Conv3d(**_geometry(self)), self.summed(), self.bias)


def attach(networks: Mapping[str, nn.Module], options: Adapters) -> None:
    """Freeze the networks and put adapters on the layers that `options.targets` names, in place.

    Convolutions in groups are left as they are. A starts from torch's global generator.

    Raises:
        StudyError: a network has no such layer.
    """
    for name, network in networks.items():
        network.requires_grad_(False)
        chosen = [
            (parent, child, layer)
            for parent, child, layer in _layers(network)
            if _kind(parent, layer) in options.targets
        ]
        if not chosen:
            raise StudyError(
                f"model.adapters.targets {list(options.targets)} names no layer of the network {name}, which then "
                "could not learn: add convolution or linear."
            )
        for parent, child, layer in chosen:
            setattr(parent, child, _adapted(layer, options).train(layer.training))


def merge(networks: Mapping[str, nn.Module]) -> None:
    """Replace every adapted layer by the plain one with W + (alpha / rank) B A, in place."""
    for network in networks.values():
        for parent, child, layer in list(_layers(network)):
            if isinstance(layer, AdaptedLinear | AdaptedConv2d | AdaptedConv3d):
                setattr(parent, child, layer.merged().train(layer.training))


def _layers(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear | Convolution]]:
    for parent in network.modules():
        for child, layer in parent.named_children():
            if isinstance(layer, nn.Linear) or (isinstance(layer, Convolution) and layer.groups == 1):
                yield parent, child, layer


def _adapted(layer: nn.Linear | Convolution, options: Adapters) -> nn.Module:
    if isinstance(layer, nn.Conv2d):
        return AdaptedConv2d(layer, options)
    return AdaptedConv3d(layer, options) if isinstance(layer, nn.Conv3d) else AdaptedLinear(layer, options)


def _kind(parent: nn.Module, layer: nn.Linear | Convolution) -> str:
    if isinstance(layer, Convolution):
        return "convolution"
    return "attention" if isinstance(parent, SABlock) else "linear"


def _geometry(layer: Any) -> dict[str, Any]:
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "padding_mode")
    # No memory for weights of its own: the frozen ones, or merged ones, take their place.
    return {
        **{name: getattr(layer, name) for name in names},
        "bias": layer.bias is not None,
        "device": "meta",
    }


def _with_parameters(plain: L, weight: Tensor, bias: Tensor | None) -> L:
    plain.weight = nn.Parameter(weight.detach().clone())
    plain.register_parameter("bias", None if bias is None else nn.Parameter(bias.detach().clone()))
    return plain
