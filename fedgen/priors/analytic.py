"""The prior of no image at all: smooth waves, the slow ones stronger, as in natural images (Field 1987)."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import torch

from fedgen.errors import StudyError
from fedgen.priors.linear_space import LinearSpace
from fedgen.priors.prior import Prior, no_donors

#: Standard deviation of a pixel about mid gray: half the distance to black or white.
PIXEL_STD = 0.5


def analytic(shape: tuple[int, ...], d: int) -> Prior:
    """The d slowest waves of the discrete cosine transform (type II, orthonormal), with a 1/f amplitude.

    The amplitudes are scaled so that all waves together, of which the prior holds the first d, give a pixel the
    standard deviation `PIXEL_STD`. The constant wave counts as f = 1.

    Args:
        shape: (C, *size); each channel has waves of its own.
        d: how many, at least 1.

    Raises:
        StudyError: an image has fewer numbers.
    """
    channels, *size = shape
    pixels = math.prod(shape)
    if d > pixels:
        raise StudyError(
            f"A latent of {d} is larger than an image of {pixels} numbers: ask for a smaller one."
        )
    # Half waves along each axis, whatever its length: f in waves an image.
    grids = np.meshgrid(*(np.arange(side, dtype=np.float64) for side in size), indexing="ij")
    squares = np.maximum(sum(grid**2 for grid in grids), 1.0)
    gain = PIXEL_STD * math.sqrt(math.prod(size) / float((1 / squares).sum()))
    # Every wave below `most` along each axis is among them; the order of equals is fixed by their indices.
    most = [min(side, d) for side in size]
    waves = sorted(
        (sum(k * k for k in indices), indices, channel)
        for indices in product(*(range(side) for side in _needed(most, d)))
        for channel in range(channels)
    )[:d]
    components = np.zeros((d, *shape))
    stds = np.empty(d)
    for row, (square, indices, channel) in enumerate(waves):
        wave = np.ones(())
        for k, side in zip(indices, size, strict=True):
            wave = np.multiply.outer(wave, _cosine(k, side))
        components[row, channel] = wave
        stds[row] = gain / math.sqrt(max(square, 1))
    space = LinearSpace(
        torch.zeros(shape), torch.from_numpy(components).float(), torch.from_numpy(stds).float()
    )
    return Prior(space, no_donors(shape))


def _needed(most: list[int], d: int) -> list[int]:
    """Waves along each axis among which the d slowest are."""
    reach = 1
    while math.prod(min(side, reach) for side in most) < d:
        reach += 1
    # A box of `reach` holds d waves of a squared frequency of at most axes * reach^2: none further out can be slower.
    far = math.isqrt(len(most) * reach * reach) + 1
    return [min(side, far) for side in most]


def _cosine(k: int, side: int) -> np.ndarray:
    wave = np.cos(np.pi * (np.arange(side) + 0.5) * k / side)
    return wave * math.sqrt((1 if k == 0 else 2) / side)
