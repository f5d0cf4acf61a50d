"""What measures of pictures see of volumes."""

from __future__ import annotations

import torch

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.middle import made_as_pictures, sites_as_pictures


def test_of_a_volume_the_middle_slice_is_seen_with_its_own_geometry() -> None:
    images = torch.rand(2, 1, 5, 16, 20).half()
    masks = (images > 0.5).to(torch.uint8)
    numbers = torch.zeros(2, dtype=torch.int64)
    site = SiteData(
        "north", ("a",), images, numbers, numbers, numbers, masks, spacing=(3.0, 1.0, 2.0), orientation="SPR"
    )
    (seen,) = sites_as_pictures([site])
    assert torch.equal(seen.images, images[:, :, 2])
    assert seen.masks is not None
    assert torch.equal(seen.masks, masks[:, :, 2])
    assert (seen.grid.size, seen.grid.spacing, seen.grid.orientation) == ((16, 20), (1.0, 2.0), "PR")
    made = made_as_pictures(LabelledImages(images.float(), numbers, masks))
    assert torch.equal(made.images, images[:, :, 2].float())
    assert made.masks is not None and torch.equal(made.masks, masks[:, :, 2])


def test_slices_are_seen_as_they_are() -> None:
    numbers = torch.zeros(1, dtype=torch.int64)
    site = SiteData("north", ("a",), torch.zeros(1, 1, 16, 16), numbers, numbers, numbers)
    assert sites_as_pictures([site])[0] is site
    made = LabelledImages(site.images, numbers)
    assert made_as_pictures(made) is made
