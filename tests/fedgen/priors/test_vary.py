"""Variants of public images: in range, repeatable, of any number of axes, wide enough for other places' films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fedgen.errors import DataError
from fedgen.priors.build import Said, of_images
from fedgen.priors.file import parse_prior
from fedgen.priors.vary import varied

SAID = Said("discs", "CC0-1.0")


def discs(n, size=(24, 24), seed=0):
    """Bright discs of other widths on gray."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.linspace(-1, 1, side) for side in size), indexing="ij")
    far = np.sqrt(sum(axis**2 for axis in grid))
    images = np.stack([np.where(far < width, 0.8, -0.2) for width in rng.uniform(0.3, 0.8, n)])
    return images[:, None].astype(np.float32)


@pytest.mark.parametrize("size", [(24, 20), (10, 12, 8)])
def test_variants_are_images_of_the_same_shape_and_range_and_repeat(size) -> None:
    images = discs(4, size)
    made = varied(images, 3)
    assert made.shape == (12, 1, *size) and made.dtype == np.float32
    assert made.min() >= -1 and made.max() <= 1 and np.isfinite(made).all()
    assert np.array_equal(made, varied(images, 3))
    assert not np.array_equal(made, varied(images, 3, seed=1))
    # Some stay as they are, the others do not, and what comes in from beyond the edge is black.
    many = varied(images, 24)
    apart = np.abs(many.reshape(4, 24, -1) - images.reshape(4, 1, -1)).max(axis=2)
    assert 0.02 < (apart < 1e-5).mean() < 0.5 and (apart > 0.1).mean() > 0.5
    assert (many == -1).any()


def test_the_card_tells_of_variants() -> None:
    images = discs(12)
    plain, wide = (parse_prior(of_images(images, 2, 3, SAID, variants=n), Path("discs")) for n in (0, 5))
    assert plain.card.variants == 0 and "of 12 images" in plain.card.made_of
    assert (
        wide.card.variants == 5
        and wide.card.images == 12
        and "5 variants each of 12 images" in wide.card.made_of
    )
    assert torch.equal(wide.prior.donors, plain.prior.donors)
    assert wide.card.images_sha256 == plain.card.images_sha256 and wide.sha256 != plain.sha256
    with pytest.raises(DataError, match="do not give 12 components"):
        of_images(images, 12, 3, SAID)
