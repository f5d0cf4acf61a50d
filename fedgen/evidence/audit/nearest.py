"""Nearest patients: for each image, the patients of a reference set that look most like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: the nearest patient and the ten that follow
DEPTH = 11


@dataclass(frozen=True)
class Nearest:
    """The nearest patients of q images, nearest first.

    Attributes:
        distance: (q, k) Euclidean distance of unit thumbnails, sqrt(2 - 2 NCC), in [0, 2]; a patient's
            distance is that of the patient's nearest image. Infinite where fewer than k patients
            could be compared.
        patient: (q, k) patient number.
        image: (q,) index of the nearest reference image.
    """

    distance: Tensor
    patient: Tensor
    image: Tensor

    def rows(self, index: Tensor | slice) -> Nearest:
        """A selection of the queries."""
        return Nearest(self.distance[index], self.patient[index], self.image[index])


def nearest_patients(
    queries: Tensor,
    mirrors: Tensor,
    references: Tensor,
    patients: Tensor,
    *,
    depth: int = DEPTH,
    own: Tensor | None = None,
    budget: int = 1 << 24,
) -> Nearest:
    """Exact search in chunks: 60 000 references by 5 000 queries need some 200 MB besides the features.

    Args:
        queries: (q, d) thumbnails.
        mirrors: (q, d) the queries' mirrored thumbnails; a mirrored copy is a copy, and images of held-out
            patients are given the same second chance.
        references: (n, d) thumbnails, n >= 1.
        patients: (n,) patient number of each reference.
        depth: k at most; fewer where there are fewer patients.
        own: (q,) patient number of each query, never matched to itself.
        budget: similarities held at once.
    """
    owners, column = torch.unique(patients, return_inverse=True)
    k = min(depth, int(owners.numel()))
    if not queries.shape[0]:
        return Nearest(
            torch.zeros(0, k), torch.zeros(0, k, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
        )
    single = owners.numel() == patients.numel()
    distances, found, images = [], [], []
    step = max(1, budget // int(references.shape[0]))
    for start in range(0, int(queries.shape[0]), step):
        rows = slice(start, start + step)
        similar = torch.maximum(queries[rows] @ references.T, mirrors[rows] @ references.T)
        if own is not None:
            similar.masked_fill_(own[rows, None] == patients[None, :], -torch.inf)
        images.append(similar.argmax(1))
        if not single:
            by_patient = torch.full((similar.shape[0], owners.numel()), -torch.inf)
            similar = by_patient.scatter_reduce_(1, column.expand_as(similar), similar, "amax")
        value, index = similar.topk(k, dim=1)
        distances.append((2 - 2 * value).clamp_min(0).sqrt())
        found.append(patients[index] if single else owners[index])
    return Nearest(torch.cat(distances), torch.cat(found), torch.cat(images))


def merge(parts: Sequence[Nearest], sizes: Sequence[int], *, depth: int = DEPTH) -> Nearest:
    """The nearest of several reference sets with disjoint patients; `image` counts through the sets in order.

    Args:
        parts: the same queries against each set.
        sizes: number of images in each set.
        depth: k at most.
    """
    distance = torch.cat([part.distance for part in parts], dim=1)
    patient = torch.cat([part.patient for part in parts], dim=1)
    order = distance.argsort(dim=1, stable=True)[:, :depth]
    first = torch.stack([part.distance[:, 0] for part in parts], dim=1).argmin(1)
    offsets = torch.tensor([0, *sizes[:-1]]).cumsum(0)
    image = (
        torch.stack([part.image for part in parts], dim=1).gather(1, first[:, None])[:, 0] + offsets[first]
    )
    return Nearest(distance.gather(1, order), patient.gather(1, order), image)


def isolation(nearest: Nearest) -> Tensor:
    """Distance to the nearest patient over the mean distance to the next ones, shape (q,), in [0, 1].

    Carlini et al. (2023, section 5.1) judge a copy by this ratio, because a smooth image is near to EVERYONE
    and is no copy; a copy is far nearer to one patient than to the others. 1 where nothing can be compared.
    """
    distance = nearest.distance
    if distance.shape[1] < 2:
        return torch.ones(distance.shape[0])
    others = distance[:, 1:]
    present = torch.isfinite(others)
    mean = torch.where(present, others, 0.0).sum(1) / present.sum(1).clamp_min(1)
    return torch.where(present.any(1) & (mean > 0), distance[:, 0] / mean.clamp_min(1e-12), 1.0).clamp(0, 1)
