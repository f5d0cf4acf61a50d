"""Pictures of a task as one, along their channels, and back: what a family draws without asking what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fedgen.task.task import Field, Task


def stacked(task: Task, fields: Mapping[str, Tensor]) -> Tensor:
    """All that the task makes, (..., C, *size) with the channels of `task.stack`, of fields (..., c, *size) each."""
    return joined(task.makes, fields)


def joined(pictures: Sequence[Field], fields: Mapping[str, Tensor]) -> Tensor:
    """These pictures along their channels, (..., C, *size)."""
    first = pictures[0]
    assert first.spec is not None
    tensors = [fields[field.name] for field in pictures]
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=-first.spec.dimensions - 1)


def unstacked(task: Task, stack: Tensor) -> dict[str, Tensor]:
    """The pictures that the task makes by name, out of (..., C, *size)."""
    axis = -task.stack.dimensions - 1
    parts = stack.split([field.channels for field in task.makes], dim=axis)
    return {field.name: part for field, part in zip(task.makes, parts, strict=True)}


def mask_channels(masks: Tensor, classes: int) -> Tensor:
    """Masks of classes (n, 1, *size), 0 outside of all, as (n, classes, *size) float32: 1 inside a class, else -1."""
    each = torch.arange(1, classes + 1, device=masks.device).reshape(-1, *[1] * (masks.ndim - 2))
    return (masks == each).float() * 2 - 1


def classes_of_mask(channels: Tensor) -> Tensor:
    """The inverse for drawn channels (n, classes, *size): (n, 1, *size) uint8, the highest above 0, else 0."""
    highest, which = channels.max(dim=1, keepdim=True)
    return torch.where(highest > 0, which + 1, 0).to(torch.uint8)
