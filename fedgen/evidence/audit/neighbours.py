"""The picture for the report: the synthetic images nearest to training, beside their nearest real images.

Only a simulation may draw it: in a federation the pictures of patients stay at their site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.errors import DataError
from fedgen.evidence.audit.audited import cohorts, group, join
from fedgen.evidence.audit.nearest import nearest_patients


@dataclass(frozen=True)
class Neighbours:
    """k synthetic images, the nearest to training first.

    Attributes:
        index: (k,) index in the synthetic set.
        synthetic: (k, C, *size) float32.
        train: (k, C, *size) float32, the nearest training image of each.
        held_out: (k, C, *size) float32, the nearest held-out image of each.
        train_distance: (k,) distance of unit thumbnails, sqrt(2 - 2 NCC), in [0, 2].
        held_out_distance: (k,) likewise.
        train_site: site of each training image.
        held_out_site: site of each held-out image.
    """

    index: Tensor
    synthetic: Tensor
    train: Tensor
    held_out: Tensor
    train_distance: Tensor
    held_out_distance: Tensor
    train_site: tuple[str, ...]
    held_out_site: tuple[str, ...]


def nearest_neighbours(synthetic: LabelledImages, sites: Sequence[SiteData], k: int) -> Neighbours:
    """The k synthetic images with the smallest distance to a training image; fewer where there are fewer.

    Raises:
        DataError: no site has a training image, or none a held-out one.
    """
    made = cohorts(sites)
    train, held_out = join([each.train for each in made]), join([each.held_out for each in made])
    if not train.n_images or not held_out.n_images:
        raise DataError(
            "No training or no held-out image to compare with: prepare the data of this run again."
        )
    release = group(synthetic.images, synthetic.labels, torch.arange(synthetic.images.shape[0]))
    to_train, to_held_out = (
        nearest_patients(release.features, release.mirrors, real.features, real.patients, depth=1)
        for real in (train, held_out)
    )
    index = to_train.distance[:, 0].argsort(stable=True)[:k]
    train_sites = [each.site for each in made for _ in range(each.train.n_images)]
    held_out_sites = [each.site for each in made for _ in range(each.held_out.n_images)]
    return Neighbours(
        index=index,
        synthetic=synthetic.images[index].float(),
        train=train.images[to_train.image[index]].float(),
        held_out=held_out.images[to_held_out.image[index]].float(),
        train_distance=to_train.distance[index, 0],
        held_out_distance=to_held_out.distance[index, 0],
        train_site=tuple(train_sites[int(i)] for i in to_train.image[index]),
        held_out_site=tuple(held_out_sites[int(i)] for i in to_held_out.image[index]),
    )
