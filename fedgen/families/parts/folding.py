"""Patients, images and draws folded into rows for a network, and back into one loss a patient."""

from __future__ import annotations

import torch
from torch import Tensor


def fold(images: Tensor, condition: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """Repeat every image, and what it is given, K times and make one row of each.

    Args:
        images: (B, M, C, *size).
        condition: (B, M, ...).
        K: draws an image.

    Returns:
        images (B*M*K, C, *size) and condition (B*M*K, ...); the K copies of an image are neighbours.
    """
    return copies(images, K), copies(condition, K)


def copies(tensor: Tensor, K: int) -> Tensor:
    """(B, M, ...) as rows (B*M*K, ...), each entry K times."""
    B, M, *rest = tensor.shape
    # By shape, since an axis of no numbers cannot be inferred.
    return tensor[:, :, None].expand(B, M, K, *rest).reshape(B * M * K, *rest)


def rows(draw: Tensor) -> Tensor:
    """Random numbers (B, M, K, ...) as rows (B*M*K, ...), in the order of `fold`."""
    return draw.flatten(0, 2)


def patient_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Mean over the draws and the present images of each patient.

    Args:
        losses: (B*M*K,) one loss a row, finite also for absent images.
        weights: (B, M) 1 / (images present) or 0 (`Records.weights`).

    Returns:
        (B,); an absent image contributes exactly zero.
    """
    B, M = weights.shape
    return torch.sum(weights * losses.reshape(B, M, -1).mean(dim=2), dim=1)
