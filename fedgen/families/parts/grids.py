"""Operations on images (n, C, *size) that hold for a grid of two axes, (H, W), as for one of three, (D, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d, interpolate

#: How torch and MONAI name linear interpolation along all axes of a grid of so many.
LINEAR = {2: "bilinear", 3: "trilinear"}


def upsample(images: Tensor, factor: int) -> Tensor:
    """Enlargement of (n, C, *size) by linear interpolation along each axis."""
    return interpolate(images, scale_factor=factor, mode=LINEAR[images.ndim - 2], align_corners=False)


def average(images: Tensor, factor: int) -> Tensor:
    """Means of (n, C, *size) over cubes of `factor` neighbours along each axis."""
    return avg_pool2d(images, factor) if images.ndim == 4 else avg_pool3d(images, factor)


def space_to_channels(images: Tensor, patch: int) -> Tensor:
    """(n, C, *size) as (n, C * patch^d, *(size / patch)): a patch's pixels become neighbouring channels."""
    n, C, *size = images.shape
    d = len(size)
    split = [part for side in size for part in (side // patch, patch)]
    outer, inner = range(2, 2 + 2 * d, 2), range(3, 3 + 2 * d, 2)
    parts = images.reshape(n, C, *split).permute(0, 1, *inner, *outer)
    return parts.reshape(n, C * patch**d, *(side // patch for side in size))


def channels_to_space(images: Tensor, patch: int) -> Tensor:
    """The inverse of `space_to_channels`."""
    n, channels, *size = images.shape
    d = len(size)
    parts = images.reshape(n, channels // patch**d, *[patch] * d, *size)
    pairs = [axis for k in range(d) for axis in (2 + d + k, 2 + k)]
    return parts.permute(0, 1, *pairs).reshape(n, channels // patch**d, *(side * patch for side in size))


def coordinate_maps(size: tuple[int, ...], frequencies: int = 3) -> Tensor:
    """cos(k pi u) for k = 1..frequencies along each axis, u from 0 to 1: (1, d * frequencies, *size)."""
    k = torch.arange(1, frequencies + 1)
    maps = []
    for axis, side in enumerate(size):
        waves = torch.cos(torch.pi * k[:, None] * torch.linspace(0, 1, side))
        place = [side if other == axis else 1 for other in range(len(size))]
        maps.append(waves.reshape(frequencies, *place).expand(frequencies, *size))
    return torch.cat(maps)[None]
