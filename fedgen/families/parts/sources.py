"""What a translator is given of a record, and what the training leaves out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.families.parts.conditioning import condition_of
from fedgen.task.stack import joined
from fedgen.task.task import PRESENT, Task


@dataclass(frozen=True)
class Sources:
    """Sources (..., channels, *size) and what is told beside them, (..., numbers): which are there, the condition."""

    x: Tensor
    told: Tensor


def sources_of(task: Task, fields: Mapping[str, Tensor], rows: Tensor) -> Sources:
    """Of fields (..., ...) each; where nobody says which sources are there, all are.

    Args:
        task: a translation.
        fields: its given fields by name.
        rows: (...,) whose shape, dtype and device numbers have, see `condition_of`.
    """
    x, condition = joined(task.sources, fields), condition_of(task, fields, rows)
    present = fields.get(PRESENT)
    if present is None:
        present = rows.new_ones(*rows.shape, len(task.sources))
    return Sources(x, torch.cat([present.to(rows.dtype), condition], dim=-1))


def told_numbers(task: Task) -> int:
    """Of `Sources.told`."""
    return len(task.sources) + task.condition_width


def left_out(task: Task, sources: Sources, uniform: Tensor, probability: float) -> Sources:
    """Rows of sources of which some are zeros, as if they had never been taken (Sharma and Hamarneh 2020).

    Args:
        task: a translation.
        sources: (R, ...), as they are.
        uniform: (R, number of sources) in [0, 1).
        probability: of each source to be left out; where that leaves none, none is left out.
    """
    S = len(task.sources)
    there, condition = sources.told[:, :S], sources.told[:, S:]
    kept = there * (uniform >= probability).to(there.dtype)
    kept = torch.where(kept.sum(dim=1, keepdim=True) > 0, kept, there)
    source_of_channel = [s for s, field in enumerate(task.sources) for _ in range(field.channels)]
    by_channel = kept[:, source_of_channel]
    x = sources.x * by_channel.to(sources.x.dtype).reshape(*by_channel.shape, *[1] * (sources.x.ndim - 2))
    return Sources(x, torch.cat([kept, condition], dim=1))
