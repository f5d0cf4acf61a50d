"""Pooled responses of filters: a few public numbers an image that say whether something small is anywhere in it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

#: Differences of two Gaussians, by their standard deviations in pixels: blobs of some two and some four pixels.
SCALES = ((0.7, 1.5), (1.5, 3.0))
#: Share of an image's pixels below its high quantile.
HIGH = 0.99
#: Numbers a channel: three of the image itself, four a difference of Gaussians.
RESPONSES = 3 + 4 * len(SCALES)


def responses(images: Tensor) -> Tensor:
    """Maximum, high quantile and minimum of the standardised image; the same and the spread of its responses.

    Each image for itself; every channel is brought to mean 0 and standard deviation 1, so that a scanner's window says
    little. An image of one value has the response 0 to everything.

    Args:
        images: (n, C, *size), of two axes or three.

    Returns:
        (n, C * RESPONSES) in the type of the images.
    """
    pixels = images.flatten(2)
    spread = pixels.std(dim=2, correction=0, keepdim=True)
    centred = (pixels - pixels.mean(dim=2, keepdim=True)).reshape(images.shape)
    # Of one value but for rounding: no contrast that could be brought to 1.
    flat = spread <= 1e-5 * pixels.abs().amax(dim=2, keepdim=True)
    scale = torch.where(flat, 0.0, 1 / torch.where(flat, 1.0, spread))
    standard = centred * scale.reshape(*images.shape[:2], *[1] * (images.ndim - 2))
    found = list(_pooled(standard))
    for narrow, wide in SCALES:
        difference = smoothed(standard, narrow) - smoothed(standard, wide)
        found += [*_pooled(difference), difference.flatten(2).std(dim=2, correction=0)]
    return torch.stack(found, dim=2).flatten(1)


def _pooled(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Maximum, high quantile and minimum of maps (n, C, *size), (n, C) each."""
    pixels = maps.flatten(2)
    rank = max(1, math.ceil(HIGH * pixels.shape[2]))
    return pixels.amax(dim=2), pixels.kthvalue(rank, dim=2).values, pixels.amin(dim=2)


def smoothed(images: Tensor, std: float) -> Tensor:
    """Images (n, C, *size) under a Gaussian of this standard deviation in pixels, cut off at three of them.

    The outermost pixels are repeated outwards.
    """
    reach = math.ceil(3 * std)
    x = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (x / std).square())
    kernel = kernel / kernel.sum()
    for axis in range(2, images.ndim):
        rows = images.movedim(axis, -1)
        shape = rows.shape
        padded = functional.pad(rows.reshape(-1, 1, shape[-1]), (reach, reach), mode="replicate")
        images = functional.conv1d(padded, kernel[None, None]).reshape(shape).movedim(-1, axis)
    return images
