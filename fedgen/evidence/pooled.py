"""Images of several sites side by side, with patients that stay apart."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.data.site_data import Part, SiteData
from fedgen.evidence.measure import Real


@dataclass(frozen=True)
class PooledImages:
    """n images of patients of all sites.

    Attributes:
        images: (n, C, *size) float32 in [-1, 1].
        labels: (n,) int64 class index.
        patients: (n,) int64; no two sites share a number.
        sites: (n,) int64 index of the site.
    """

    images: Tensor
    labels: Tensor
    patients: Tensor
    sites: Tensor

    @property
    def n_images(self) -> int:
        """n."""
        return int(self.labels.numel())

    @property
    def n_patients(self) -> int:
        """Number of different patients."""
        return int(self.patients.unique().numel())

    def take(self, index: Tensor) -> PooledImages:
        """The images at `index`, a mask or positions."""
        return PooledImages(self.images[index], self.labels[index], self.patients[index], self.sites[index])


def pool(sites: Sequence[SiteData], parts: Collection[Part]) -> PooledImages:
    """The images of some parts of all sites."""
    images, labels, patients, owners = [], [], [], []
    first = 0
    for number, site in enumerate(sites):
        keep = torch.isin(site.parts, torch.tensor([int(part) for part in parts]))
        _, local = torch.unique(site.patients[keep], return_inverse=True)
        images.append(site.images[keep].float())
        labels.append(site.labels[keep])
        patients.append(local + first)
        owners.append(torch.full_like(local, number))
        first += int(local.max()) + 1 if local.numel() else 0
    return PooledImages(torch.cat(images), torch.cat(labels), torch.cat(patients), torch.cat(owners))


def pooled(real: Real, part: Part) -> PooledImages:
    """`pool` of one part of all sites, made once."""
    return real.once(("pooled", part), lambda: pool(real.sites, (part,)))
