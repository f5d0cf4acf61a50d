"""What a model is given beside pictures, as numbers a network can read; safe inside torch.func transforms."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedgen.task.task import Field, Task


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """(...,) class indices as (..., classes) zeros and ones.

    A comparison, because `torch.nn.functional.one_hot` checks the values of its input, which vmap forbids.
    """
    return (labels[..., None] == torch.arange(classes, device=labels.device)).to(dtype)


def condition_of(task: Task, fields: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """All conditions of the task side by side, (..., `task.condition_width`).

    Args:
        task: which conditions there are; where it has none, the width is 0.
        fields: classes (...,), covariates and embeddings (..., width) each.
        rows: (...,) float, such as the weights of a record's images: whose shape, dtype and device the condition has.
    """
    parts = [
        one_hot(fields[field.name], field.numbers, rows.dtype)
        if field.kind == "class"
        else fields[field.name].to(rows.dtype)
        for field in task.conditions
    ]
    return torch.cat(parts, dim=-1) if parts else rows.new_zeros(*rows.shape, 0)


def drawn_fields(task: Task, shape: tuple[int, ...], rng: torch.Generator) -> dict[str, Tensor]:
    """Conditions drawn without any patient, (*shape) or (*shape, width) by name: what patients have is private.

    Classes and values of covariates are uniform, numbers uniform in [-1, 1], embeddings uniform on the unit sphere.
    """
    return {field.name: _drawn(field, shape, rng) for field in task.conditions}


def _drawn(field: Field, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    device = rng.device
    if field.kind == "class":
        return torch.randint(len(field.classes), shape, generator=rng, device=device)
    if field.kind == "embedding":
        vectors = torch.randn(*shape, field.numbers, generator=rng, device=device)
        return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    parts = [
        torch.rand(*shape, 1, generator=rng, device=device) * 2 - 1
        if part == 1
        else one_hot(torch.randint(part, shape, generator=rng, device=device), part, torch.float32)
        for part in field.parts
    ]
    return torch.cat(parts, dim=-1)


def with_condition_maps(images: Tensor, condition: Tensor) -> Tensor:
    """Append one constant channel a number of the condition (n, width): (n, C, *size) to (n, C + width, *size)."""
    size = images.shape[2:]
    maps = condition.to(images.dtype).reshape(*condition.shape, *[1] * len(size))
    return torch.cat([images, maps.expand(-1, -1, *size)], dim=1)
