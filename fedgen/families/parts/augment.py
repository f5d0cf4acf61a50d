"""Differentiable augmentations of real images and fakes alike, each by numbers of its own (Karras et al. 2020).

A discriminator that sees every image moved, turned, scaled, brightened or dimmed learns a small cohort by heart later;
its opponent learns nothing of the augmentations as long as each is left out often enough (their section 2.2). There is
no mirroring: a body has a left and a right.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

#: Largest probability of each, above which augmentations leak into what is drawn (Karras et al. 2020, section 2.2).
MOST = 0.8
#: Largest move as a share of the image, largest turn in radians, and the standard deviations of log2 of the size, of
#: brightness in the units of [-1, 1] and of log2 of contrast.
MOVE, TURN, SIZE, BRIGHTNESS, CONTRAST = 0.125, math.pi / 12, 0.15, 0.2, 0.3
#: Of which each has a gate: moving, turning, scaling, brightness, contrast.
KINDS = 5


def numbers(dimensions: int) -> int:
    """How many uniform numbers an image needs: a gate for each kind, and what each kind is told."""
    return 2 * KINDS - 1 + dimensions


def augmented(images: Tensor, uniform: Tensor, probability: Tensor | float) -> Tensor:
    """Images after augmentation, (R, C, *size), differentiable in the images; no row depends on another.

    Args:
        images: (R, C, *size) in [-1, 1].
        uniform: (R, `numbers`) in [0, 1).
        probability: of each kind, one number.
    """
    dimensions = images.ndim - 2
    uniform = uniform.to(images.dtype)
    gates = (uniform[:, :KINDS] < probability).to(images.dtype)
    told = 2 * uniform[:, KINDS:] - 1
    turn, size, brightness, contrast = (
        gate * (std * number)
        for gate, std, number in zip(
            gates[:, 1:].T,
            (TURN, *(math.sqrt(3) * std for std in (SIZE, BRIGHTNESS, CONTRAST))),
            told[:, dimensions:].T,
            strict=True,
        )
    )
    # grid_sample counts from -1 to 1.
    shift = gates[:, :1] * (2 * MOVE) * told[:, :dimensions]
    moved = _resampled(images, turn, torch.exp2(-size), shift)
    shape = (-1, *[1] * (dimensions + 1))
    return moved * torch.exp2(contrast).reshape(shape) + brightness.reshape(shape)


def _resampled(images: Tensor, turn: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Turned in the plane of the last two axes, scaled and moved, by linear interpolation."""
    size, dimensions = images.shape[2:], images.ndim - 2
    axes = [
        torch.linspace(1 / side - 1, 1 - 1 / side, side, dtype=images.dtype, device=images.device)
        for side in reversed(size)
    ]
    # The last axis of an image is the first coordinate of a grid.
    grid = torch.stack(torch.meshgrid(*reversed(axes), indexing="ij")[::-1], dim=-1)
    cos, sin, zero = turn.cos() * scale, turn.sin() * scale, torch.zeros_like(turn)
    ratio = size[-1] / size[-2]
    rows = [[cos, -sin / ratio], [sin * ratio, cos]]
    if dimensions == 3:
        rows = [[*rows[0], zero], [*rows[1], zero], [zero, zero, scale]]
    matrix = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    place = torch.einsum("...i,rji->r...j", grid, matrix) + shift.reshape(-1, *[1] * dimensions, dimensions)
    found: Tensor = grid_sample(
        images, place, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return found
