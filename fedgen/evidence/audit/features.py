"""Thumbnails for copy detection (extractor E6: no weights, so nothing about patients hides in them)."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor
from torch.nn import functional

#: side of a thumbnail; images of 64 pixels and more are halved at least, which takes most noise away
SIDE = 32


def thumbnails(images: Tensor, *, side: int = SIDE, chunk: int = 1024) -> Tensor:
    """Low-passed, zero-mean, unit-norm thumbnails, whose inner product is the normalised cross-correlation.

    Brightness and contrast do not matter, and after the low pass neither do light noise or a small shift.

    Args:
        images: (n, C, *size) float16 or float32.
        side: of the thumbnail along each axis, at most.
        chunk: images resized at once.

    Returns:
        (n, C * pixels of a thumbnail) float32; the row of a constant image is zero, which resembles nothing.
    """
    size = _size(images, side)
    rows = []
    for part in images.split(chunk):
        flat = _blurred(part.float(), size).flatten(1)
        flat = flat - flat.mean(1, keepdim=True)
        norm = flat.norm(dim=1, keepdim=True)
        rows.append(torch.where(norm > 1e-4 * flat.shape[1] ** 0.5, flat / norm.clamp_min(1e-12), 0.0))
    if not rows:
        return torch.zeros(0, int(images.shape[1]) * prod(size))
    return torch.cat(rows)


def mirrored(features: Tensor, images: Tensor, *, side: int = SIDE) -> Tensor:
    """The thumbnails of the `images` mirrored along their last axis, from their `features`."""
    return features.reshape(-1, int(images.shape[1]), *_size(images, side)).flip(-1).flatten(1)


def _size(images: Tensor, side: int) -> list[int]:
    return [min(side, int(own)) for own in images.shape[2:]]


def _blurred(images: Tensor, size: list[int]) -> Tensor:
    if images.ndim == 5:
        small = functional.adaptive_avg_pool3d(images, (size[0], size[1], size[2]))
        return functional.avg_pool3d(small, 3, stride=1, padding=1, count_include_pad=False)
    small = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
    return functional.avg_pool2d(small, 3, stride=1, padding=1, count_include_pad=False)


def pixels(images: Tensor) -> list[bytes]:
    """The 8-bit pixels of each image, for exact comparison; empty for a constant image."""
    grey = ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).flatten(1).numpy()
    constant = (grey == grey[:, :1]).all(axis=1)
    return [b"" if same else row.tobytes() for same, row in zip(constant, grey, strict=True)]
