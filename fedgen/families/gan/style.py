"""A generator whose latent says how its features look and not what they are (Karras et al. 2019, 2020; StyleGAN).

The latent goes through a mapping network; what comes out scales the channels that go into each convolution, whose
output is then scaled back to the size it would have had (Karras et al. 2020, section 2.2). If asked, noise of each
pixel is added behind that, for what is by chance in an image, such as where a hair lies. All of it is within an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from math import prod
from operator import mul

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv3d, leaky_relu

from fedgen.families.parts.blocks import LEAKY_RELU
from fedgen.families.parts.grids import upsample

#: Layers of the mapping network.
DEPTH = 3


class MappingNetwork(nn.Module):
    """What a latent means for the look of an image: (n, numbers) to (n, width)."""

    def __init__(self, numbers: int, width: int) -> None:
        super().__init__()
        layers = [nn.Linear(a, b) for a, b in pairwise((numbers, *[width] * DEPTH))]
        self.layers = nn.ModuleList(layers)

    def forward(self, z: Tensor) -> Tensor:
        """Numbers of any size are first brought to a mean square of 1."""
        h = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            h = leaky_relu(layer(h), LEAKY_RELU[1]["negative_slope"])
        return h


class ModulatedConvolution(nn.Module):
    """Upsampling, then a convolution whose input channels are scaled by the style, and its output back.

    Noise, where there is some, is added before the bias, with one learned strength that is 0 at the start.

    The kernel is a parameter of this very layer, which alone reads it: once to convolve and once to scale back.

    Args:
        dimensions: axes of the grid.
        in_channels, out_channels: of the features.
        stride: of the upsampling.
        style: numbers of the style.
        last: whether an image comes out, which is not scaled back and has no activation.
        noisy: whether noise is added.
    """

    def __init__(
        self,
        dimensions: int,
        in_channels: int,
        out_channels: int,
        stride: int,
        style: int,
        *,
        last: bool,
        noisy: bool,
    ) -> None:
        super().__init__()
        self.stride, self.last = stride, last
        self.kernel = nn.Parameter(torch.empty(out_channels, in_channels, *[3] * dimensions))
        nn.init.kaiming_normal_(self.kernel, a=LEAKY_RELU[1]["negative_slope"])
        self.scales = nn.Linear(style, in_channels)
        self.bias = nn.Linear(style, out_channels)
        if noisy:
            self.strength = nn.Parameter(torch.zeros(1))

    def forward(self, h: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """(n, in_channels, *size) to (n, out_channels, *size times the stride) in the style (n, numbers).

        Noise is (n, 1, *size times the stride), for a layer that adds some.
        """
        if self.stride > 1:
            h = upsample(h, self.stride)
        shape = (len(h), -1, *[1] * (h.ndim - 2))
        # 1 where the style says nothing, so that an untrained network is a plain one.
        scales = 1 + self.scales(style)
        h = (conv2d if h.ndim == 4 else conv3d)(h * scales.reshape(shape), self.kernel, padding=1)
        if not self.last:
            power = self.kernel.flatten(2).square().sum(dim=2)
            h = h * (scales.square() @ power.T + 1e-8).rsqrt().reshape(shape)
        if noise is not None:
            h = h + self.strength * noise
        h = h + self.bias(style).reshape(shape)
        return h if self.last else leaky_relu(h, LEAKY_RELU[1]["negative_slope"])


class StyledBody(nn.Module):
    """Levels of modulated convolutions on a start that is the same for all images.

    Args:
        numbers: of the latent and what is given.
        start: (channels, *size) of the first features.
        channels: of each level's output; the last is the image's.
        strides: of each level.
        width: of the style.
        noisy: whether each level but the last adds noise.
    """

    def __init__(
        self,
        numbers: int,
        start: tuple[int, ...],
        channels: Sequence[int],
        strides: Sequence[int],
        width: int,
        *,
        noisy: bool,
    ) -> None:
        super().__init__()
        self.mapping = MappingNetwork(numbers, width)
        # A layer, so that a backend that looks at layers sees it: the start is what it makes of 1.
        self.start = nn.Linear(1, torch.Size(start).numel(), bias=False)
        self.shape = start
        nn.init.normal_(self.start.weight)
        widths, last = (start[0], *channels), len(channels) - 1
        self.levels = nn.ModuleList(
            ModulatedConvolution(
                len(start) - 1, a, b, stride, width, last=level == last, noisy=noisy and level < last
            )
            for level, (a, b, stride) in enumerate(zip(widths, channels, strides, strict=False))
        )
        #: Grid of each level's noise.
        self.grids = noise_grids(start[1:], strides[:last]) if noisy else []

    def features(self, both: Tensor, after: Mapping[int, nn.Module], noise: Tensor) -> list[Tensor]:
        """The start and what comes out of each level, (n, channels, *size); the last is an image.

        Args:
            both: (n, numbers).
            after: what stands behind a level, by its number.
            noise: (n, pixels of all levels' grids) standard normal; of none where no level adds noise.
        """
        style = self.mapping(both)
        own = noise.split([prod(grid) for grid in self.grids], dim=1) if self.grids else ()
        found = [self.start(torch.ones_like(both[:, :1])).reshape(-1, *self.shape)]
        for number, level in enumerate(self.levels):
            added = own[number].reshape(-1, 1, *self.grids[number]) if number < len(own) else None
            h = level(found[-1], style, added)
            found.append(after[number](h) if number in after else h)
        return found


def noise_grids(start: Sequence[int], strides: Sequence[int]) -> list[tuple[int, ...]]:
    """The grid behind each level, from that of the first features.

    >>> noise_grids((4, 4), (2, 1))
    [(8, 8), (8, 8)]
    """
    return [tuple(side * grown for side in start) for grown in accumulate(strides, mul)]
