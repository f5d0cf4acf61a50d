"""Divergences of histograms against scipy, and images whose pixels were shuffled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.measure import Real
from fedgen.evidence.metrics.intensities import BINS, SMALL, Intensities, divergences, histograms
from fedgen.study.evaluation_section import EvaluationSection


def test_histograms_are_numpys() -> None:
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images[0, 0, 0] = torch.tensor([-1.0, 1.0, 2.0, -2.0] * 4)
    for image, found in zip(images, histograms(images), strict=True):
        expected, _ = np.histogram(image.clamp(-1, 1).numpy(), bins=BINS, range=(-1, 1))
        assert found.numpy() == pytest.approx(expected / 256)


def test_divergences_are_scipys() -> None:
    rng = torch.Generator().manual_seed(1)
    real, other = torch.rand(2, 5, BINS, generator=rng, dtype=torch.float64)
    real, other = real / real.sum(1, keepdim=True), other / other.sum(1, keepdim=True)
    p, q = (each.mean(0).numpy() + SMALL for each in (real, other))
    found = divergences(real, other)
    assert found["histogram-KL"] == pytest.approx(entropy(p, q))
    assert found["histogram-JS"] == pytest.approx(jensenshannon(p, q) ** 2)
    assert divergences(real, real)["histogram-KL"] == pytest.approx(0, abs=1e-12)


def test_shuffled_pixels_are_as_good_as_real_ones_and_darker_ones_are_not(
    make_site: Callable[..., SiteData], make_synthetic: Callable[..., LabelledImages]
) -> None:
    site, good = make_site(patients=48), make_synthetic(60)
    measure = Intensities(EvaluationSection())

    def values(images: torch.Tensor) -> tuple[float, float, float]:
        row = next(iter(measure.measure(Real([site]), LabelledImages(images, good.labels), None, 0)))
        value, floor = row.values
        assert value.value is not None and value.low is not None and floor.value is not None
        return value.value, value.low, floor.value

    order = torch.randperm(32 * 32, generator=torch.Generator().manual_seed(0))
    shuffled = good.images.flatten(2)[..., order].reshape(good.images.shape)
    assert values(shuffled) == pytest.approx(values(good.images))
    value, low, floor = values((good.images - 0.5).clamp(-1, 1))
    assert low > 2 * floor and value > low
