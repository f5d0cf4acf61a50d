"""Volumes as measures of pictures see them: by their middle slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from fedgen.data.site_data import LabelledImages, SiteData


def middle_slices(images: Tensor) -> Tensor:
    """(n, C, H, W) of images of that shape, or of the middle of volumes (n, C, D, H, W)."""
    return images if images.ndim == 4 else images[:, :, images.shape[2] // 2]


def sites_as_pictures(sites: Sequence[SiteData]) -> list[SiteData]:
    """Sites whose images, and masks, are slices; those that have slices are left as they are."""
    return [
        site
        if site.images.ndim == 4
        else replace(
            site,
            images=middle_slices(site.images),
            masks=None if site.masks is None else middle_slices(site.masks),
            spacing=None if site.spacing is None else site.spacing[1:],
            orientation=site.orientation[1:],
        )
        for site in sites
    ]


def made_as_pictures(made: LabelledImages) -> LabelledImages:
    """The same of a release."""
    if made.images.ndim == 4:
        return made
    masks = None if made.masks is None else middle_slices(made.masks)
    return replace(made, images=middle_slices(made.images), masks=masks)
