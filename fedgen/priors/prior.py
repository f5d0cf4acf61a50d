"""A linear prior: a mean image and components with the standard deviation that public images have along each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.errors import StudyError


@dataclass(frozen=True)
class Prior:
    """An image x is mean + (z * stds) @ components + what the components cannot say; public z have variance 1.

    Attributes:
        mean: (C, *size) float32.
        components: (d, C, *size) float32, orthonormal as vectors of pixels.
        stds: (d,) float32 > 0, falling.
        donors: (n, C, *size) float32 in [-1, 1], public images; n may be 0.
    """

    mean: Tensor
    components: Tensor
    stds: Tensor
    donors: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, *size) of an image."""
        return tuple(self.mean.shape)

    @property
    def pixels(self) -> int:
        """Numbers of an image."""
        return math.prod(self.shape)

    def first(self, d: int) -> Prior:
        """The prior with its first d components alone.

        Raises:
            StudyError: it has fewer.
        """
        if d > len(self.stds):
            raise StudyError(
                f"The prior has {len(self.stds)} components, but the study asks for a latent of {d}: ask for fewer, or "
                "build a prior with more."
            )
        return Prior(self.mean, self.components[:d], self.stds[:d], self.donors)


def latents(images: Tensor, mean: Tensor, components: Tensor, stds: Tensor) -> Tensor:
    """Coordinates of images in public standard deviations: (n, C, *size) to (n, d), in the images' type."""
    basis = components.flatten(1).to(images.dtype)
    centred = images.flatten(1) - mean.flatten().to(images.dtype)
    return centred @ basis.T / stds.to(images.dtype)


def decoded(z: Tensor, mean: Tensor, components: Tensor, stds: Tensor) -> Tensor:
    """The images (n, C, *size) of latents z (n, d), not clamped."""
    pixels = mean.flatten() + (z * stds) @ components.flatten(1)
    return pixels.reshape(-1, *mean.shape)


def residuals(images: Tensor, mean: Tensor, components: Tensor, stds: Tensor) -> Tensor:
    """What the components cannot say of images (n, C, *size)."""
    return images - decoded(latents(images, mean, components, stds), mean, components, stds)


def no_donors(shape: tuple[int, ...]) -> Tensor:
    """(0, C, *size)."""
    return torch.zeros(0, *shape)
