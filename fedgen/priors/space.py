"""The contract of a prior's space: a public map from images to latents and back, the same for every patient."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn


class Space(nn.Module, ABC):
    """Images as latents z whose entries have variance 1 over public images.

    What it is made of is in buffers: nothing of it is trained on patients, sent or saved with a model. Each image is
    mapped for itself, never with what others of its batch are like, so that a patient's latents are hers alone.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """(C, *size) of an image."""

    @property
    @abstractmethod
    def d(self) -> int:
        """Numbers of a latent."""

    @property
    def pixels(self) -> int:
        """Numbers of an image."""
        return math.prod(self.shape)

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Latents (n, d) of images (n, C, *size), in the images' type."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """Images (n, C, *size) of latents z (n, d), not clamped."""

    @abstractmethod
    def first(self, d: int) -> Space:
        """The space of the first d entries alone; 1 <= d <= `self.d`."""

    @abstractmethod
    def tensors(self) -> Mapping[str, Tensor]:
        """What a file of it holds, by name."""

    def forward(self, images: Tensor) -> Tensor:
        """As `encode`."""
        return self.encode(images)

    def residuals(self, images: Tensor) -> Tensor:
        """What the space cannot say of images (n, C, *size)."""
        return images - self.decode(self.encode(images))
