"""What an attacker with the release alone has: synthetic images, and patients of whom some trained.

The audits that look at every pair of images in several spaces do so on a sample of bounded size. An audit of more
patients would see smaller effects; each row prints what this one sees.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.audit.audited import AuditedGroup, AuditedSite, group, join, release_group, usable
from fedgen.evidence.audit.spaces import in_spaces
from fedgen.evidence.measure import Real

T = TypeVar("T")

#: Patients of a side, images of each of them, and synthetic images, at most.
PATIENTS, IMAGES_EACH, SYNTHETIC = 500, 2, 1000
#: Stands for all sites together.
TOGETHER = "all sites"


class Samples:
    """Training and held-out patients of some sites and a synthetic set, and what several audits compute of them, once.

    Attributes:
        sites: of each site the patients that were drawn.
        synthetic: the release, or what a control puts in its place.
    """

    def __init__(self, sites: tuple[AuditedSite, ...], synthetic: AuditedGroup) -> None:
        self.sites = sites
        self.synthetic = synthetic
        self._known: dict[Hashable, Any] = {}

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` gave the first time that something was asked for under this key."""
        if key not in self._known:
            self._known[key] = compute()
        found: T = self._known[key]
        return found

    @property
    def together(self) -> AuditedSite:
        """All sites as one."""
        return self.once("together", self._together)

    def _together(self) -> AuditedSite:
        if len(self.sites) == 1:
            return self.sites[0]
        train = join([each.train for each in self.sites])
        return AuditedSite(TOGETHER, train, join([each.held_out for each in self.sites]))


class Drawn:
    """The samples of a release, and what its controls are made of.

    Attributes:
        samples: as released.
        copies: training images that somebody passes on: pixel for pixel, or shifted and with noise, in turn.
        strangers: real images of people who are in neither side; empty where there are none.
    """

    def __init__(self, samples: Samples, copies: AuditedGroup, strangers: AuditedGroup) -> None:
        self.samples, self.copies, self.strangers = samples, copies, strangers


def drawn(real: Real, made: LabelledImages, seed: int) -> Drawn:
    """The samples of a release, drawn once, with features in every space.

    Args:
        real: sites of which one at least has training and held-out patients.
        made: the release.
        seed: of who is drawn.
    """
    return real.once(("drawn", made, seed), lambda: _draw(real, made, seed))


def near_copies_of(images: Tensor, seed: int) -> Tensor:
    """Copies that are not equal: each shifted by a pixel along its last axis, with noise of 5 % of the range."""
    rng = torch.Generator().manual_seed(seed)
    return (images.roll(1, -1) + 0.1 * torch.randn(images.shape, generator=rng)).clamp(-1, 1)


def _draw(real: Real, made: LabelledImages, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    sites = usable(real)
    share = _shares([site.train.n_patients for site in sites])
    trains = [_some(site.train, most, rng) for site, most in zip(sites, share, strict=True)]
    share = _shares([site.held_out.n_patients for site in sites])
    helds = [_some(site.held_out, most, rng) for site, most in zip(sites, share, strict=True)]
    release = release_group(real, made)
    synthetic = release.rows(torch.from_numpy(np.sort(rng.permutation(release.n_images)[:SYNTHETIC])))
    train = join(trains)
    one_each = train.rows(_first_of_each(train.patients))
    images = one_each.images.float()
    altered = near_copies_of(images, seed)
    # Every second one pixel for pixel.
    altered[::2] = images[::2]
    copies = group(altered, one_each.labels, one_each.patients)
    strangers = _strangers(real, rng)
    groups = in_spaces((*trains, *helds, synthetic, copies, strangers), real=len(trains) + len(helds))
    n = len(sites)
    drawn_sites = tuple(
        AuditedSite(site.site, own, held)
        for site, own, held in zip(sites, groups[:n], groups[n : 2 * n], strict=True)
    )
    return Drawn(Samples(drawn_sites, groups[2 * n]), groups[2 * n + 1], groups[2 * n + 2])


def _shares(patients: list[int]) -> list[int]:
    """So many patients of each site that they are `PATIENTS` together at most, in proportion, at least three each."""
    total = sum(patients)
    if total <= PATIENTS:
        return patients
    return [max(3, PATIENTS * each // total) for each in patients]


def _some(side: AuditedGroup, most: int, rng: np.random.Generator) -> AuditedGroup:
    """So many patients at most, with the first `IMAGES_EACH` images of each in a random order."""
    patients = side.patients.numpy()
    chosen = rng.permutation(np.unique(patients))[:most]
    order = rng.permutation(np.flatnonzero(np.isin(patients, chosen)))
    _, owner, count = np.unique(patients[order], return_inverse=True, return_counts=True)
    by_owner = np.argsort(owner, kind="stable")
    rank = np.empty(order.size, np.int64)
    rank[by_owner] = np.concatenate([np.arange(each) for each in count])
    return side.rows(torch.from_numpy(np.sort(order[rank < IMAGES_EACH])))


def _first_of_each(patients: Tensor) -> Tensor:
    _, first = np.unique(patients.numpy(), return_index=True)
    return torch.from_numpy(first)


def _strangers(real: Real, rng: np.random.Generator) -> AuditedGroup:
    """Patients who are kept for the test of downstream models, and neither trained nor judge the audit."""
    offset, groups = 0, []
    for site in real.sites:
        own = site.part(Part.TEST)
        if own.n_images:
            groups.append(group(own.images, own.labels, own.patients + offset))
            offset += own.n_patients
    if not groups:
        first = real.sites[0]
        return group(first.images[:0].float(), first.labels[:0], first.patients[:0])
    return _some(join(groups), PATIENTS, rng)
