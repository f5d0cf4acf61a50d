"""Records of noise, as any task has them: for checks that must not read a patient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedgen.families.parts.conditioning import drawn_fields
from fedgen.task.records import Records
from fedgen.task.stack import mask_channels
from fedgen.task.task import PRESENT, Field, Task


def noise_records(task: Task, counts: Sequence[int], rng: torch.Generator) -> Records:
    """B patients with so many images each, float32; what is absent is zero.

    Of a paired translation's sources some are missing, never all; each group of an unpaired one has all its images.

    Args:
        task: which fields there are.
        counts: images of each patient, >= 1.
        rng: of all of it.
    """
    images = torch.tensor(counts)
    B, M = len(counts), max(counts)
    here = torch.arange(M)[None, :] < images[:, None]
    fields = {field.name: _picture(field, (B, M), rng) for field in (*task.makes, *task.sources)}
    fields |= drawn_fields(task, (B, M), rng)
    if task.translates and task.paired:
        fields |= _some_missing(task.sources, fields, rng)
    groups = {field.group for field in (*task.makes, *task.given)}
    weights = here / images[:, None]
    return Records(
        {name: tensor * _beside(here, tensor) for name, tensor in fields.items()},
        {group: weights.clone() for group in sorted(groups)},
    )


def _picture(field: Field, shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    assert field.spec is not None
    if field.kind == "mask":
        n = shape[0] * shape[1]
        masks = torch.randint(field.channels + 1, (n, 1, *field.spec.size), generator=rng)
        return mask_channels(masks, field.channels).unflatten(0, shape)
    return torch.rand(*shape, *field.spec.shape, generator=rng) * 2 - 1


def _some_missing(
    sources: Sequence[Field], fields: dict[str, Tensor], rng: torch.Generator
) -> dict[str, Tensor]:
    B, M = fields[sources[0].name].shape[:2]
    present = torch.rand(B, M, len(sources), generator=rng) < 0.7
    # One of them is always there.
    first = torch.randint(len(sources), (B, M, 1), generator=rng)
    present = present.scatter(2, first, True)
    shown = {
        field.name: fields[field.name] * _beside(present[:, :, s], fields[field.name])
        for s, field in enumerate(sources)
    }
    return {**shown, PRESENT: present.float()}


def _beside(mask: Tensor, tensor: Tensor) -> Tensor:
    return mask.reshape(*mask.shape, *[1] * (tensor.ndim - mask.ndim))
