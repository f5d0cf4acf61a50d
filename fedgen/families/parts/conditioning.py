"""A class label as numbers a network can read; safe inside torch.func transforms."""

from __future__ import annotations

import torch
from torch import Tensor


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """(n,) class indices as (n, classes) zeros and ones.

    A comparison, because `torch.nn.functional.one_hot` checks the values of its input, which vmap forbids.
    """
    return (labels[:, None] == torch.arange(classes, device=labels.device)).to(dtype)


def with_label_maps(images: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Append one constant channel a class: (n, C, *size) becomes (n, C + classes, *size)."""
    size = images.shape[2:]
    maps = one_hot(labels, classes, images.dtype).reshape(-1, classes, *[1] * len(size))
    return torch.cat([images, maps.expand(-1, -1, *size)], dim=1)
