"""Thumbnails for copy detection (extractor E6: no weights, so nothing about patients hides in them)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: side of a thumbnail; images of 64 pixels and more are halved at least, which takes most noise away
SIDE = 32


def thumbnails(images: Tensor, *, side: int = SIDE, chunk: int = 1024) -> Tensor:
    """Low-passed, zero-mean, unit-norm thumbnails, whose inner product is the normalised cross-correlation.

    Brightness and contrast do not matter, and after the low pass neither do light noise or a small shift.

    Args:
        images: (n, C, H, W) float16 or float32.
        side: height and width of the thumbnail at most.
        chunk: images resized at once.

    Returns:
        (n, C * h * w) float32; the row of a constant image is zero, which resembles nothing.
    """
    size = [min(side, int(images.shape[2])), min(side, int(images.shape[3]))]
    rows = []
    for part in images.split(chunk):
        small = functional.interpolate(part.float(), size=size, mode="bilinear", antialias=True)
        small = functional.avg_pool2d(small, 3, stride=1, padding=1, count_include_pad=False)
        flat = small.flatten(1)
        flat = flat - flat.mean(1, keepdim=True)
        norm = flat.norm(dim=1, keepdim=True)
        rows.append(torch.where(norm > 1e-4 * flat.shape[1] ** 0.5, flat / norm.clamp_min(1e-12), 0.0))
    if not rows:
        return torch.zeros(0, int(images.shape[1]) * size[0] * size[1])
    return torch.cat(rows)


def mirrored(features: Tensor, images: Tensor, *, side: int = SIDE) -> Tensor:
    """The thumbnails of the left-right mirrored `images`, from their `features`."""
    h, w = min(side, int(images.shape[2])), min(side, int(images.shape[3]))
    return features.reshape(-1, int(images.shape[1]), h, w).flip(3).flatten(1)


def pixels(images: Tensor) -> list[bytes]:
    """The 8-bit pixels of each image, for exact comparison; empty for a constant image."""
    grey = ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).flatten(1).numpy()
    return [b"" if (row == row[0]).all() else row.tobytes() for row in grey]
