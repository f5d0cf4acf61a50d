"""A site of noise, with whatever a task reads of one: to time a step, or to check it, without a patient."""

from __future__ import annotations

import torch
from torch import Tensor

from fedgen.data.site_data import Part, SiteData
from fedgen.families.parts.conditioning import drawn_fields
from fedgen.study.compile_task import COARSE
from fedgen.task.task import Task

#: Names of classes, for a task that is given none.
CLASSES = ("noise",)


def noise_site(task: Task, owners: Tensor, rng: torch.Generator) -> SiteData:
    """Training patients with images of noise.

    Args:
        task: whose fields there are; of a translation every contrast is there.
        owners: (N,) the patient of each image, all from 0 on.
        rng: of the noise.
    """
    N, size, mask = len(owners), task.stack.size, task.mask
    pictures = [field for field in (*task.makes, *task.sources) if field.kind == "image"]
    contrasts = tuple(field.name for field in pictures if field.name != COARSE) if task.translates else ()
    # As much of each contrast is stored as the widest field shows of it.
    channels = max(field.channels for field in pictures) * max(len(contrasts), 1)
    given = drawn_fields(task, (N,), rng)
    return SiteData(
        site="noise",
        classes=task.classes or CLASSES,
        images=(torch.rand(N, channels, *size, generator=rng) * 2 - 1).half(),
        labels=torch.arange(N) % len(task.classes or CLASSES),
        patients=owners,
        parts=torch.full_like(owners, int(Part.TRAIN)),
        masks=None
        if mask is None
        else torch.randint(1 + mask.channels, (N, 1, *size), generator=rng, dtype=torch.uint8),
        contrasts=contrasts,
        present=torch.ones(N, len(contrasts), dtype=torch.bool) if contrasts else None,
        covariates=given.get("covariates"),
        embeddings=given.get("embedding"),
    )
