"""What a task knows of a site's images: the fields of its records, and their weights."""

from __future__ import annotations

import torch
from torch import Tensor

from fedgen.data.site_data import SiteData
from fedgen.errors import DataError
from fedgen.families.parts.grids import average, upsample
from fedgen.study.compile_task import COARSE
from fedgen.task.records import Records, one_image_each
from fedgen.task.stack import mask_channels
from fedgen.task.task import PRESENT, Field, Task, image_of_class


def task_of(data: SiteData) -> Task:
    """An image of its class, as the site's images are: for whoever has no study."""
    return image_of_class(data.grid, data.classes)


def fields_of(task: Task, data: SiteData, rows: Tensor) -> dict[str, Tensor]:
    """The task's fields of some of a site's images (n,), by name: (n, ...) each, pictures float32.

    A contrast that is absent is zeros; `present` (n, sources) says which are there, where the task translates pairs.

    Raises:
        DataError: the data lack a field.
    """
    fields = {field.name: _field(field, task, data, rows) for field in (*task.makes, *task.given)}
    if task.translates and task.paired:
        fields[PRESENT] = torch.stack(
            [presence(source.name, data, rows) for source in task.sources], dim=1
        ).float()
    return fields


def presence(contrast: str, data: SiteData, rows: Tensor) -> Tensor:
    """(n,) bool: whether the images have this contrast; what is made of the others is always there."""
    if data.present is None or contrast not in data.contrasts:
        return torch.ones(len(rows), dtype=torch.bool)
    return data.present[rows, data.contrasts.index(contrast)]


def _field(field: Field, task: Task, data: SiteData, rows: Tensor) -> Tensor:
    match field.kind:
        case "image":
            return _image(field, task, data, rows)
        case "mask":
            if data.masks is None:
                raise DataError(
                    f"Site {data.site} has no masks, but the task makes them: see data.columns.mask."
                )
            return mask_channels(data.masks[rows], field.channels)
        case "class":
            return data.labels[rows]
        case "covariates":
            return _known(data.covariates, "covariates", data)[rows]
        case "embedding":
            return _known(data.embeddings, "embeddings", data)[rows]


def _known(found: Tensor | None, what: str, data: SiteData) -> Tensor:
    if found is None:
        raise DataError(
            f"Site {data.site} has no {what}, but the task is given them: prepare the data again."
        )
    return found


def _image(field: Field, task: Task, data: SiteData, rows: Tensor) -> Tensor:
    if not data.contrasts:
        return data.images[rows].float()
    if field.name == COARSE and COARSE not in data.contrasts:
        return coarser(_contrast(task.makes[0], data, rows), task.downsample)
    return _contrast(field, data, rows)


def _contrast(field: Field, data: SiteData, rows: Tensor) -> Tensor:
    """One contrast, with the neighbours of its slice where the field has room for them."""
    stored, number = data.grid.channels, data.contrasts.index(field.name)
    images = data.images[rows, number * stored : (number + 1) * stored].float()
    beside = (stored - field.channels) // 2
    return images[:, beside : beside + field.channels]


def coarser(images: Tensor, factor: int) -> Tensor:
    """Images (n, C, *size) averaged over `factor` pixels along each axis, and enlarged again."""
    return upsample(average(images, factor), factor)


def one_record_each(task: Task, data: SiteData) -> Records:
    """Each of a site's images as a record of its own."""
    rows = torch.arange(data.n_images)
    records = one_image_each(fields_of(task, data, rows))
    return records._replace(weights=weights_of(task, data, rows[:, None], torch.ones(data.n_images, 1)))


def weights_of(task: Task, data: SiteData, rows: Tensor, there: Tensor) -> dict[str, Tensor]:
    """Weights of the records' images by group, (B, M) each: 1 over how many of the group are there, 0 elsewhere.

    Args:
        task: of one group, or of one for each contrast.
        data: of the site.
        rows: (B, M) numbers of images, any where there is none.
        there: (B, M) float of 0 and 1.
    """
    groups = {field.group: field.name for field in (*task.makes, *task.given)}
    if task.paired:
        return {group: _shares(there) for group in groups}
    return {
        group: _shares(there * presence(name, data, rows.flatten()).reshape(rows.shape))
        for group, name in groups.items()
    }


def _shares(there: Tensor) -> Tensor:
    return there / there.sum(dim=1, keepdim=True).clamp_min(1)
