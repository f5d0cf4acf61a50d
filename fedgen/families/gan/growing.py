"""Progressive growing (Karras et al. 2018): the resolution doubles along a public schedule, each doubling faded in.

All levels exist from the beginning, since the sites add up vectors of one length: what grows is how much of each is
looked at. With g doublings done, images of all resolutions are drawn, and that after k doublings weighs 1 - |g - k|, or
nothing, so that between two doublings two neighbours are blended. g follows from the share of the study's steps that
are done, which everybody knows, so that no state travels and nothing depends on data.

Under privacy a level that is not yet looked at has gradients of zero, but its noise is paid for all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.blocks import Convolution
from torch import Tensor, nn

from fedgen.families.parts.blocks import LEAKY_RELU
from fedgen.families.parts.grids import average, upsample


def stage(progress: Tensor, span: float, doublings: int) -> Tensor:
    """Doublings that are done, in [0, doublings], at the shares `progress` of the study's steps; any shape.

    Each resolution is trained for as long as it was faded in before; after the share `span` all is there.

    >>> stage(torch.tensor([0.0, 0.2, 0.3, 0.5, 1.0]), 0.5, 1)
    tensor([0.0000, 0.0000, 0.2000, 1.0000, 1.0000])
    """
    # Of 2 * doublings equal parts every second one fades.
    part = (progress / span).clamp(0.0, 1.0) * 2 * doublings
    whole = (part / 2).floor()
    return (whole + (part - 2 * whole - 1).clamp(0.0, 1.0)).clamp(max=doublings)


def shares(g: Tensor, doublings: int) -> Tensor:
    """Weight of each resolution at stages g (R,), (R, doublings + 1), of sum 1."""
    each = torch.arange(doublings + 1, dtype=g.dtype, device=g.device)
    return (1 - (g[:, None] - each).abs()).clamp_min(0.0)


def weighted(pictures: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Sum of pictures (R, ...) of one shape with weights (R, number of pictures)."""
    shape = (-1, *[1] * (pictures[0].ndim - 1))
    parts = [
        picture * weight.reshape(shape) for picture, weight in zip(pictures, weights.unbind(1), strict=True)
    ]
    return torch.stack(parts).sum(dim=0)


def as_grown(images: Tensor, g: Tensor, doublings: int) -> Tensor:
    """Images (R, C, *size) with no more detail than stage g (R,) has."""
    pictures = [
        images if k == doublings else upsample(average(images, 2 ** (doublings - k)), 2 ** (doublings - k))
        for k in range(doublings + 1)
    ]
    return weighted(pictures, shares(g, doublings))


class Outlets(nn.Module):
    """An image of each resolution, of a generator's features, as one of full size.

    Args:
        dimensions: axes of the grid.
        widths: channels of the features of each resolution below the last, coarse first.
        channels: of the image.
    """

    def __init__(self, dimensions: int, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            _pointwise(dimensions, width, channels, active=False) for width in widths
        )

    def forward(self, features: Sequence[Tensor], full: Tensor, g: Tensor) -> Tensor:
        """The blend of stage g (R,) of features (R, width, ...), coarse first, and of the full picture."""
        n = len(features)
        pictures = [
            upsample(convolution(h), 2 ** (n - k))
            for k, (convolution, h) in enumerate(zip(self.convolutions, features, strict=True))
        ]
        return weighted([*pictures, full], shares(g, n))


class Inlets(nn.Module):
    """Features of a discriminator at each halving, from the level above or from the image itself.

    Args:
        dimensions: axes of the grid.
        widths: channels of the features after each halving, fine first.
        channels: of what is looked at.
    """

    def __init__(self, dimensions: int, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            _pointwise(dimensions, channels, width, active=True) for width in widths
        )

    def forward(self, halving: int, features: Tensor, images: Tensor, g: Tensor) -> Tensor:
        """What goes on after that many halvings, from 1: features where the level above is looked at, at stage g."""
        n = len(self.convolutions)
        own = self.convolutions[halving - 1](average(images, 2**halving))
        above = (g - (n - halving)).clamp(0.0, 1.0)
        return weighted([own, features], torch.stack([1 - above, above], dim=1))


def _pointwise(dimensions: int, width: int, channels: int, *, active: bool) -> nn.Module:
    convolution: Any = Convolution(
        spatial_dims=dimensions,
        in_channels=width,
        out_channels=channels,
        kernel_size=1,
        act=LEAKY_RELU,
        norm=None,
        conv_only=not active,
    )
    found: nn.Module = convolution
    return found
