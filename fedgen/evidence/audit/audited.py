"""The audit's view of the sites: train and held-out images, with patients numbered over all sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.errors import DataError
from fedgen.evidence.audit.features import mirrored, thumbnails
from fedgen.evidence.measure import Real
from fedgen.evidence.remembered import content, once


@dataclass(frozen=True)
class AuditedGroup:
    """The images of one part of one site, or a synthetic set.

    Attributes:
        images: (n, C, *size) as stored.
        labels: (n,) class index.
        patients: (n,) patient number, unique over all sites and parts.
        features: (n, d) thumbnails.
        mirrors: (n, d) thumbnails of the mirrored images.
        known: all that the site knows of the images; None of a synthetic set.
        spaces: (n, d) features by the name of their space; of samples alone (`spaces`).
    """

    images: Tensor
    labels: Tensor
    patients: Tensor
    features: Tensor
    mirrors: Tensor
    known: SiteData | None = None
    spaces: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def n_images(self) -> int:
        """Number of images."""
        return int(self.images.shape[0])

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return int(torch.unique(self.patients).numel())

    def rows(self, index: Tensor) -> AuditedGroup:
        """A selection of the images."""
        return AuditedGroup(
            self.images[index],
            self.labels[index],
            self.patients[index],
            self.features[index],
            self.mirrors[index],
            spaces={name: features[index] for name, features in self.spaces.items()},
        )


@dataclass(frozen=True)
class AuditedSite:
    """One site's training patients and its held-out patients of the audit part."""

    site: str
    train: AuditedGroup
    held_out: AuditedGroup

    def judged(self, minimum_patients: int) -> bool:
        """Whether both parts have enough patients for a test of this site alone."""
        return min(self.train.n_patients, self.held_out.n_patients) >= max(3, minimum_patients)


def group(images: Tensor, labels: Tensor, patients: Tensor) -> AuditedGroup:
    """A group with its thumbnails."""
    features = thumbnails(images)
    return AuditedGroup(images, labels, patients, features, mirrored(features, images))


def join(groups: Sequence[AuditedGroup]) -> AuditedGroup:
    """All groups as one."""
    return AuditedGroup(
        torch.cat([each.images for each in groups]),
        torch.cat([each.labels for each in groups]),
        torch.cat([each.patients for each in groups]),
        torch.cat([each.features for each in groups]),
        torch.cat([each.mirrors for each in groups]),
        spaces={name: torch.cat([each.spaces[name] for each in groups]) for name in groups[0].spaces},
    )


def cohorts(sites: Sequence[SiteData]) -> tuple[AuditedSite, ...]:
    """Train and audit part of each site.

    Raises:
        DataError: there is no site, or images of two sites differ in shape.
    """
    if not sites:
        raise DataError("The audit was given no site: prepare the data of at least one site first.")
    offset = 0
    made = []
    for site in sites:
        if site.images.shape[1:] != sites[0].images.shape[1:]:
            raise DataError(
                f"Images of site {site.site} have shape {tuple(site.images.shape[1:])}, those of "
                f"{sites[0].site} {tuple(sites[0].images.shape[1:])}: prepare all sites with one image size."
            )
        groups = []
        for part in (Part.TRAIN, Part.AUDIT):
            chosen = site.part(part)
            own = group(chosen.images, chosen.labels, chosen.patients + offset)
            groups.append(replace(own, known=chosen))
            offset += chosen.n_patients
        made.append(AuditedSite(site.site, groups[0], groups[1]))
    return tuple(made)


def audited(real: Real) -> tuple[AuditedSite, ...]:
    """`cohorts` of the sites, made once."""
    return real.once("cohorts", lambda: cohorts(real.sites))


def usable(real: Real) -> tuple[AuditedSite, ...]:
    """The sites that have training and held-out patients."""
    return tuple(each for each in audited(real) if each.train.n_images and each.held_out.n_images)


def release_group(real: Real, made: LabelledImages) -> AuditedGroup:
    """The release with its thumbnails, made once a process; every image is its own patient."""
    key = ("release", content(made.images, made.labels))
    return real.once(("release", made), lambda: once(key, lambda: _of_release(made)))


def _of_release(made: LabelledImages) -> AuditedGroup:
    return group(made.images, made.labels, torch.arange(made.images.shape[0]))
