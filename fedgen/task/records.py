"""A batch of patients as tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Records(NamedTuple):
    """B patients with up to M images each; a pytree, so that vmap, chunks and moves to a device need no code.

    Attributes:
        fields: by name of the task's field, (B, M, ...) each: images (B, M, C, *size) float32 in [-1, 1], masks
            (B, M, classes, *size) float32 of 1 inside and -1 outside, `class` (B, M) int64 class index, `covariates`
            and `embedding` (B, M, numbers) float32; of a translation of pairs also `present` (B, M, sources) float32
            of 0 and 1. What is absent is zero.
        weights: by group, (B, M) float32; 1 / (number of the patient's images here) where present, 0 where absent, so
            that a weighted sum over M is the mean over the patient's images.
    """

    fields: dict[str, Tensor]
    weights: dict[str, Tensor]


def one_image_each(fields: dict[str, Tensor]) -> Records:
    """Images as records of their own: fields (n, ...) become those of n records with one image, (n, 1, ...)."""
    first = next(iter(fields.values()))
    weights = {"patient": torch.ones(len(first), 1, device=first.device)}
    return Records({name: tensor[:, None] for name, tensor in fields.items()}, weights)
