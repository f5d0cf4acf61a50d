"""Layers with low-rank adapters: frozen weights W in the sum W + (alpha / r) B A, of which A and B alone are trained.

The sum is formed before the layer is applied: at the sizes of these networks one convolution with a whole kernel takes
less time than the low-rank path beside it, whose own per-record gradients are convolutions in many small groups.

A layer keeps the names of its frozen parameters, `weight` and `bias`, beside `adapter_A` and `adapter_B`; only these
two ask for gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, conv_transpose3d, linear

from fedgen.families.parts.adapter_options import Adapters

#: Convolutions that adapters know.
Convolution = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d
L = TypeVar("L", nn.Linear, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class AdaptedLinear(nn.Linear):
    """x (W + s B A)^T + b, with A (r, in), B (out, r) and s = alpha / rank.

    Args:
        frozen: the layer whose parameters are shared, and asked for no gradient.
        options: rank and alpha; r is at most the smaller side of W.
    """

    def __init__(self, frozen: nn.Linear, options: Adapters) -> None:
        super().__init__(frozen.in_features, frozen.out_features, bias=frozen.bias is not None, device="meta")
        self.weight, self.bias = frozen.weight, frozen.bias
        self.scale, self.adapter_A, self.adapter_B = _low_rank(frozen.weight, options)

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
    """A convolution with W + s B A: W is (w0, w1, *kernel), A (r, w1, *kernel) is r slices of its kind, B (w0, r).

    w0 are the output channels, or the input channels where the convolution is transposed.

    Args:
        frozen: the layer whose parameters are shared, and asked for no gradient.
        options: rank and alpha; r is at most the smaller side of W as a (w0, w1 * kernel) matrix.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, frozen: Convolution, options: Adapters) -> None:
        super().__init__(**_geometry(frozen))
        self.weight, self.bias = frozen.weight, frozen.bias
        self.scale, self.adapter_A, self.adapter_B = _low_rank(frozen.weight, options)

    def summed(self) -> Tensor:
        """W + s B A, of W's shape."""
        return self.weight + self.scale * torch.einsum("or,r...->o...", self.adapter_B, self.adapter_A)


class _Straight(_AdaptedConvolution):
    _conv_forward: Callable[..., Tensor]

    def forward(self, input: Tensor) -> Tensor:
        """(n, in, *size) to (n, out, *size')."""
        # The layer's own way to convolve, with its stride, dilation and mode of padding.
        return self._conv_forward(input, self.summed(), self.bias)


class AdaptedConv2d(_Straight, nn.Conv2d):
    """Along two axes."""

    def merged(self) -> nn.Conv2d:
        """A plain layer with the same outputs."""
        return _with_parameters(nn.Conv2d(**_geometry(self)), self.summed(), self.bias)


class AdaptedConv3d(_Straight, nn.Conv3d):
    """Along three axes."""

    def merged(self) -> nn.Conv3d:
        """A plain layer with the same outputs."""
        return _with_parameters(nn.Conv3d(**_geometry(self)), self.summed(), self.bias)


class AdaptedConvTranspose2d(_AdaptedConvolution, nn.ConvTranspose2d):
    """Transposed, along two axes."""

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]  # no other size of output is asked for
        """(n, in, *size) to (n, out, *size')."""
        return conv_transpose2d(input, self.summed(), self.bias, *_of_transposed(self))

    def merged(self) -> nn.ConvTranspose2d:
        """A plain layer with the same outputs."""
        return _with_parameters(nn.ConvTranspose2d(**_geometry(self)), self.summed(), self.bias)


class AdaptedConvTranspose3d(_AdaptedConvolution, nn.ConvTranspose3d):
    """Transposed, along three axes."""

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]  # no other size of output is asked for
        """(n, in, *size) to (n, out, *size')."""
        return conv_transpose3d(input, self.summed(), self.bias, *_of_transposed(self))

    def merged(self) -> nn.ConvTranspose3d:
        """A plain layer with the same outputs."""
        return _with_parameters(nn.ConvTranspose3d(**_geometry(self)), self.summed(), self.bias)


AdaptedLayer = AdaptedLinear | AdaptedConv2d | AdaptedConv3d | AdaptedConvTranspose2d | AdaptedConvTranspose3d

#: By exact type: what a subclass does with its weight is not known, and an adapted layer would no longer do it.
ADAPTED: dict[type[nn.Module], Callable[[Any, Adapters], AdaptedLayer]] = {
    nn.Linear: AdaptedLinear,
    nn.Conv2d: AdaptedConv2d,
    nn.Conv3d: AdaptedConv3d,
    nn.ConvTranspose2d: AdaptedConvTranspose2d,
    nn.ConvTranspose3d: AdaptedConvTranspose3d,
}


def _low_rank(weight: Tensor, options: Adapters) -> tuple[float, nn.Parameter, nn.Parameter]:
    """s, A of torch's own start for a layer's weight, and B of zeros."""
    rows, *columns = weight.shape
    r = min(options.rank, rows, math.prod(columns))
    A = nn.Parameter(weight.new_empty(r, *columns))
    nn.init.kaiming_uniform_(A, a=math.sqrt(5))
    return options.alpha / options.rank, A, nn.Parameter(weight.new_zeros(rows, r))


def _geometry(layer: Any) -> dict[str, Any]:
    names = [
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
    ]
    if isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
        names.append("output_padding")
    # No memory for weights of its own: the frozen ones, or merged ones, take their place.
    return {
        **{name: getattr(layer, name) for name in names},
        "bias": layer.bias is not None,
        "device": "meta",
    }


def _of_transposed(layer: Any) -> tuple[Any, ...]:
    return layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation


def _with_parameters(plain: L, weight: Tensor, bias: Tensor | None) -> L:
    plain.weight = nn.Parameter(weight.detach().clone())
    plain.register_parameter("bias", None if bias is None else nn.Parameter(bias.detach().clone()))
    return plain
