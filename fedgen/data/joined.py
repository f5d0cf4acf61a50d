"""Images of several contrasts, joined along their channels: one row a place of a patient at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from fedgen.data.contrasts import rows_of_images
from fedgen.data.index import IndexEntry
from fedgen.data.site_data import SiteData
from fedgen.study.data import DataSection


def joined_contrasts(
    found: SiteData, entries: Sequence[IndexEntry], image_entries: NDArray[np.int64], data: DataSection
) -> SiteData:
    """The site with a row for each place, slice or volume, that has images of one or several contrasts.

    Args:
        found: a row an image.
        entries: of the site.
        image_entries: (N,) the entry of each image.
        data: contrasts, and whether they are paired.
    """
    numbers, contrast = rows_of_images(entries, image_entries, data)
    rows, n = torch.from_numpy(numbers), int(numbers.max()) + 1
    C, size = found.images.shape[1], found.images.shape[2:]
    images = torch.zeros(n, len(data.contrasts), C, *size, dtype=found.images.dtype)
    present = torch.zeros(n, len(data.contrasts), dtype=torch.bool)
    images[rows, torch.from_numpy(contrast)] = found.images
    present[rows, torch.from_numpy(contrast)] = True
    # What is known of a row is what its first image knows; of a mask, the first that has one.
    first = torch.zeros(n, dtype=torch.int64)
    first[rows.flip(0)] = torch.arange(len(rows)).flip(0)
    with_mask = first.clone()
    if found.masked is not None:
        masked = torch.nonzero(found.masked)[:, 0].flip(0)
        with_mask[rows[masked]] = masked
    return replace(
        found,
        images=images.flatten(1, 2),
        present=present,
        contrasts=data.contrasts,
        labels=found.labels[first],
        patients=found.patients[first],
        parts=found.parts[first],
        covariates=None if found.covariates is None else found.covariates[first],
        embeddings=None if found.embeddings is None else found.embeddings[first],
        masks=None if found.masks is None else found.masks[with_mask],
        masked=None if found.masked is None else found.masked[with_mask],
    )
