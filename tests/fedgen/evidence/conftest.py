"""Procedural sites: textured images of correlated patients, a bright spot where the label is 1."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fedgen.data.site_data import LabelledImages, Part, SiteData

MakeSite = Callable[..., SiteData]
MakeImages = Callable[..., Tensor]
CLASSES = ("none", "lesion")


def _images(labels: Tensor, *, seed: int, side: int = 32, channels: int = 1, contrast: float = 0.9) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    n = len(labels)
    base = interpolate(torch.randn(n, channels, 6, 6, generator=rng), size=side, mode="bilinear") * 0.25
    axis = torch.linspace(-1, 1, side)
    x, y = (torch.rand(2, n, 1, 1, generator=rng) - 0.5) * 0.8
    spot = torch.exp(-((axis[None, None] - x) ** 2 + (axis[None, :, None] - y) ** 2) / 0.08)
    noise = torch.randn(n, channels, side, side, generator=rng) * 0.05
    return (base + noise - 0.3 + contrast * (spot * labels[:, None, None])[:, None]).clamp(-1, 1)


@pytest.fixture
def make_images() -> MakeImages:
    """Images of the given labels, (n, C, side, side) float32."""
    return _images


@pytest.fixture
def make_site() -> MakeSite:
    """A site whose patients alternate between the classes; of six pairs 3 train, 1 is for audit, 2 test."""

    def make(
        name: str = "a",
        *,
        patients: int = 24,
        each: int = 2,
        seed: int = 0,
        one_class: bool = False,
        side: int = 32,
    ) -> SiteData:
        patient = torch.arange(patients).repeat_interleave(each)
        labels = torch.zeros_like(patient) if one_class else patient % 2
        order = torch.tensor([Part.TRAIN, Part.TEST, Part.TRAIN, Part.AUDIT, Part.TRAIN, Part.TEST])
        parts = order[patient // 2 % 6].long()
        return SiteData(name, CLASSES, _images(labels, seed=seed, side=side).half(), labels, patient, parts)

    return make


@pytest.fixture
def make_synthetic() -> Callable[..., LabelledImages]:
    """A balanced set that a perfect generator of the sites' images would give."""

    def make(n: int = 60, *, seed: int = 1000, side: int = 32) -> LabelledImages:
        labels = torch.arange(n) % 2
        return LabelledImages(_images(labels, seed=seed, side=side), labels)

    return make
