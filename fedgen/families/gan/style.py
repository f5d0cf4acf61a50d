"""A generator whose latent says how its features look and not what they are (Karras et al. 2019, 2020; StyleGAN).

The latent goes through a mapping network; what comes out scales the channels that go into each convolution, whose
output is then scaled back to the size it would have had (Karras et al. 2020, section 2.2). All of it is within an
image. The noise that StyleGAN adds to each level is left out: there is one latent and nothing else that is random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

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

    The kernel is a parameter of this very layer, which alone reads it: once to convolve and once to scale back.

    Args:
        dimensions: axes of the grid.
        in_channels, out_channels: of the features.
        stride: of the upsampling.
        style: numbers of the style.
        last: whether an image comes out, which is not scaled back and has no activation.
    """

    def __init__(
        self, dimensions: int, in_channels: int, out_channels: int, stride: int, style: int, *, last: bool
    ) -> None:
        super().__init__()
        self.stride, self.last = stride, last
        self.kernel = nn.Parameter(torch.empty(out_channels, in_channels, *[3] * dimensions))
        nn.init.kaiming_normal_(self.kernel, a=LEAKY_RELU[1]["negative_slope"])
        self.scales = nn.Linear(style, in_channels)
        self.bias = nn.Linear(style, out_channels)

    def forward(self, h: Tensor, style: Tensor) -> Tensor:
        """(n, in_channels, *size) to (n, out_channels, *size times the stride) in the style (n, numbers)."""
        if self.stride > 1:
            h = upsample(h, self.stride)
        shape = (len(h), -1, *[1] * (h.ndim - 2))
        # 1 where the style says nothing, so that an untrained network is a plain one.
        scales = 1 + self.scales(style)
        h = (conv2d if h.ndim == 4 else conv3d)(h * scales.reshape(shape), self.kernel, padding=1)
        if not self.last:
            power = self.kernel.flatten(2).square().sum(dim=2)
            h = h * (scales.square() @ power.T + 1e-8).rsqrt().reshape(shape)
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
    """

    def __init__(
        self,
        numbers: int,
        start: tuple[int, ...],
        channels: Sequence[int],
        strides: Sequence[int],
        width: int,
    ) -> None:
        super().__init__()
        self.mapping = MappingNetwork(numbers, width)
        # A layer, so that a backend that looks at layers sees it: the start is what it makes of 1.
        self.start = nn.Linear(1, torch.Size(start).numel(), bias=False)
        self.shape = start
        nn.init.normal_(self.start.weight)
        widths = (start[0], *channels)
        self.levels = nn.ModuleList(
            ModulatedConvolution(len(start) - 1, a, b, stride, width, last=level == len(channels) - 1)
            for level, (a, b, stride) in enumerate(zip(widths, channels, strides, strict=False))
        )

    def features(self, both: Tensor, after: Mapping[int, nn.Module]) -> list[Tensor]:
        """The start and what comes out of each level, (n, channels, *size); the last is an image.

        Args:
            both: (n, numbers).
            after: what stands behind a level, by its number.
        """
        style = self.mapping(both)
        found = [self.start(torch.ones_like(both[:, :1])).reshape(-1, *self.shape)]
        for number, level in enumerate(self.levels):
            h = level(found[-1], style)
            found.append(after[number](h) if number in after else h)
        return found
