"""Patients, images and draws folded into rows for a network, and back into one loss a patient."""

from __future__ import annotations

import torch
from torch import Tensor


def fold(images: Tensor, labels: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """Repeat every image K times and make one row of each.

    Args:
        images: (B, M, C, *size).
        labels: (B, M) class index.
        K: draws an image.

    Returns:
        images (B*M*K, C, *size) and labels (B*M*K,); the K copies of an image are neighbours.
    """
    B, M = labels.shape
    copies = images[:, :, None].expand(B, M, K, *images.shape[2:])
    return copies.reshape(B * M * K, *images.shape[2:]), labels[:, :, None].expand(B, M, K).reshape(-1)


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
