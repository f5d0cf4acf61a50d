"""A release whose two classes differ in brightness."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fedgen.data.site_data import LabelledImages


@pytest.fixture(scope="package")
def released() -> Callable[..., LabelledImages]:
    """`released(seed, n)`: n images, every second of the brighter class."""

    def build(seed: int = 0, n: int = 24) -> LabelledImages:
        rng = torch.Generator().manual_seed(seed)
        labels = torch.arange(n) % 2
        images = torch.rand(n, 1, 16, 16, generator=rng) * 1.4 - 1 + 0.5 * labels[:, None, None, None]
        return LabelledImages(images.clamp(-1, 1), labels)

    return build
