"""From latents to images, a few at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

#: Images made at once; bounds memory, never changes results.
CHUNK = 64


def device_of(network: nn.Module) -> torch.device:
    """Where a network's parameters are."""
    return next(network.parameters()).device


def decode_in_chunks(
    decode: Callable[[Tensor, Tensor], Tensor], z: Tensor, labels: Tensor, device: torch.device
) -> Tensor:
    """Images of latents z (n, d) with labels (n,), computed on `device`, returned where z is.

    All latents are drawn before, so that the images do not depend on how many are made at once.
    """
    parts = zip(z.split(CHUNK), labels.split(CHUNK), strict=True)
    return torch.cat(
        [decode(part.to(device), classes.to(device)).float().to(z.device) for part, classes in parts]
    )
