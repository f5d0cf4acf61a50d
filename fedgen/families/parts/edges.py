"""Where an image changes from pixel to pixel: distances that look at that, and not at how bright images are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu

#: Change between neighbours, of images in [-1, 1], below which an edge counts as noise.
NOISE = 0.1


def differences(images: Tensor) -> Tensor:
    """Differences to the next pixel along each axis, (R, C, *size) to (R, C, axes, *size); 0 at the far end."""
    axes = range(2, images.ndim)
    found = [torch.diff(images, dim=axis, append=images.narrow(axis, -1, 1)) for axis in axes]
    return torch.stack(found, dim=2)


def edge_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean |difference| of the differences of two batches of images, (R,) (gradient difference, Nie et al. 2017)."""
    return (differences(a) - differences(b)).abs().flatten(1).mean(dim=1)


def shape_distance(a: Tensor, b: Tensor) -> Tensor:
    """How far edges of images are from lying in the same places and directions, whatever their contrast, (R,).

    A mean over pixels of |n(b)|^2 - <n(a), n(b)>^2 / |n(b)|^2, not below 0, for the gradient fields n of both, each
    divided by its length (Haber and Modersitzki 2006): 0 where a has all edges of b, also where dark and bright have
    changed places, and |n(b)|^2 where it has none.

    Args:
        a: (R, C, *size).
        b: (R, C', *size), which is taken as it is; channels are averaged.
    """
    of_a, of_b = (_field(images.mean(dim=1, keepdim=True)) for images in (a, b.detach()))
    own = of_b.square().sum(dim=1)
    shared = (of_a * of_b).sum(dim=1).square() / own.clamp_min(1e-6)
    return relu(own - shared).flatten(1).mean(dim=1)


def _field(images: Tensor) -> Tensor:
    """Directions of change (R, axes, *size), of length near 1 at an edge and near 0 elsewhere."""
    found = differences(images)[:, 0]
    return found * (found.square().sum(dim=1, keepdim=True) + NOISE**2).rsqrt()
