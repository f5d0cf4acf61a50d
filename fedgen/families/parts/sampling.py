"""From latents to images, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

#: Images made at once; bounds memory, never changes results.
CHUNK = 64


class ImageNoise:
    """Standard normal numbers for a sampler, each image's from a generator of its own.

    Of its own, so that what an image receives does not depend on which others are made at the same time.

    Args:
        seeds: one an image, all different.
        shape: of an image, (C, *size).
        device: where the numbers are needed; they are drawn on the CPU.
    """

    def __init__(self, seeds: Sequence[int], shape: tuple[int, ...], device: torch.device) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._shape = shape
        self._device = device

    def __call__(self) -> Tensor:
        """New numbers for all images, (n, C, *size) float32."""
        parts = [torch.randn(self._shape, generator=generator) for generator in self._generators]
        return torch.stack(parts).to(self._device)


def device_of(network: nn.Module) -> torch.device:
    """Where a network's parameters are."""
    return next(network.parameters()).device


def decode_in_chunks(
    decode: Callable[[Tensor, Tensor], Tensor], z: Tensor, given: Tensor, device: torch.device
) -> Tensor:
    """Images of latents z (n, d) with what is given (n, ...), computed on `device`, returned where z is.

    All latents are drawn before, so that the images do not depend on how many are made at once.
    """
    parts = zip(z.split(CHUNK), given.split(CHUNK), strict=True)
    return torch.cat([decode(part.to(device), own.to(device)).float().to(z.device) for part, own in parts])
