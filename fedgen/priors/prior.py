"""A public prior: a latent space, and public images that lend their texture or are drawn as they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.errors import StudyError
from fedgen.priors.space import Space


@dataclass(frozen=True)
class Prior:
    """What is known of a kind of image before any patient is asked.

    Attributes:
        space: latents of images, and images of latents.
        donors: (n, C, *size) float32 in [-1, 1], public images; n may be 0.
    """

    space: Space
    donors: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, *size) of an image."""
        return self.space.shape

    @property
    def d(self) -> int:
        """Numbers of a latent."""
        return self.space.d

    def first(self, d: int) -> Prior:
        """The prior with the first d entries of its latents alone.

        Raises:
            StudyError: it has fewer.
        """
        if d > self.d:
            raise StudyError(
                f"The prior has {self.d} components, but the study asks for a latent of {d}: ask for fewer, or "
                "build a prior with more."
            )
        return Prior(self.space.first(d), self.donors)


def no_donors(shape: tuple[int, ...]) -> Tensor:
    """(0, C, *size)."""
    return torch.zeros(0, *shape)
