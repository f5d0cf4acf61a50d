"""A batch of patients as tensors."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Records(NamedTuple):
    """B patients with up to M images each; a pytree, so that vmap, chunks and moves to a device need no code.

    Attributes:
        fields: by name of the task's field, (B, M, ...) each: `image` (B, M, C, *size) float32 in [-1, 1], `class`
            (B, M) int64 class index; what is absent is zero.
        weights: by group, (B, M) float32; 1 / (number of the patient's images here) where present, 0 where absent, so
            that a weighted sum over M is the mean over the patient's images.
    """

    fields: dict[str, Tensor]
    weights: dict[str, Tensor]
