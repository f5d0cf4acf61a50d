"""Extractors: shapes, determinism, pinned values and the meaning of single features."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from skimage.measure import shannon_entropy

from fedgen.evidence.metrics.extractors import build_extractor, extractor_names, registry
from fedgen.evidence.metrics.extractors.filters import _gradient, _haar, _laplacian_of_gaussian
from fedgen.evidence.metrics.standardise import DEAD, Standardiser
from fedgen.study.evaluation_section import EvaluationSection

NAMES = ("radiomics", "random_conv")
#: sum and index-weighted sum of the features of `pattern`, and the hash, of version 1
SUM = 27.43017
WEIGHTED = 114.096
HASH = "6074b5f86f5b07c9a7bc605e4a99f17aebc92c1832cad2cc758ad326edcbe361"


def pattern(side: int = 32) -> torch.Tensor:
    """A fixed image that no random number generator can change."""
    y, x = np.mgrid[0:side, 0:side] / side
    return torch.tensor(0.6 * np.sin(9 * x + 4 * y * y) * np.cos(5 * y), dtype=torch.float32)[None, None]


def test_every_extractor_that_a_study_may_name_can_be_built() -> None:
    (names, _) = get_args(EvaluationSection.model_fields["extractors"].annotation)
    offered = get_args(names)
    assert set(offered) >= {"radiomics", "random_conv"}
    for name in offered:
        assert name in extractor_names() and build_extractor(name, 1).name == name


def test_an_extractor_is_one_class_and_one_name_is_one_extractor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_EXTRACTORS", dict(registry._EXTRACTORS))

    class Mean(registry.Extractor):
        name = "mean"
        num_features = 1
        hash = "0"

        def __init__(self, channels: int) -> None:
            super().__init__()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1).mean(1, keepdim=True)

    registry.register("mean")(Mean)
    assert "mean" in extractor_names()
    assert build_extractor("mean", 1)(torch.ones(2, 1, 16, 16)).tolist() == [[1.0], [1.0]]
    with pytest.raises(ValueError, match="two extractors"):
        registry.register("mean")(Mean)
    with pytest.raises(KeyError):
        build_extractor("median", 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (32, 24), (64, 64)])
def test_features_have_the_promised_shape_and_are_finite(
    name: str, channels: int, size: tuple[int, int]
) -> None:
    extractor = build_extractor(name, channels)
    images = torch.rand(3, channels, *size) * 2 - 1
    images[1] = 0  # constant images have no skewness and no correlation, but still features
    features = extractor(images)
    assert features.shape == (3, extractor.num_features) and features.dtype == torch.float32
    assert torch.isfinite(features).all()
    assert 60 <= extractor.num_features <= 128


@pytest.mark.parametrize("name", NAMES)
def test_features_depend_on_one_image_alone_and_repeat(name: str) -> None:
    images = torch.rand(5, 1, 32, 32) * 2 - 1
    together = build_extractor(name, 1)(images)
    alone = torch.cat([build_extractor(name, 1)(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_random_conv_is_pinned_by_its_weights() -> None:
    extractor = build_extractor("random_conv", 1)
    assert extractor.hash == "a888f5beac78b8470dcee19b71a58b686118c0d5f366644ad4cd92bfe015d4f6"
    assert extractor.hash != build_extractor("random_conv", 3).hash
    assert not any(p.requires_grad for p in extractor.parameters())


def test_random_conv_weights_are_orthogonal() -> None:
    weight = build_extractor("random_conv", 1).state_dict()["convolutions.1.weight"].reshape(16, -1)
    torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(16), atol=5e-3, rtol=0)


def test_radiomics_values_are_pinned_to_the_version() -> None:
    """A change of any feature must raise VERSION (and so the hash); these numbers catch a silent one."""
    features = build_extractor("radiomics", 1)(pattern())[0].double()
    weights = torch.arange(1, len(features) + 1).double()
    assert float(features.sum()) == pytest.approx(SUM, rel=1e-4)
    assert float((features * weights).sum()) == pytest.approx(WEIGHTED, rel=1e-4)
    assert build_extractor("radiomics", 1).hash == HASH


def test_first_order_features_against_scipy() -> None:
    extractor = build_extractor("radiomics", 1)
    image = pattern()
    values = dict(zip(extractor.feature_names, extractor(image)[0].tolist(), strict=True))  # type: ignore[arg-type]
    gray = (image.double().numpy().ravel() + 1) / 2
    assert values["mean"] == pytest.approx(gray.mean(), rel=1e-5)
    assert values["std"] == pytest.approx(gray.std(), rel=1e-5)
    assert values["skewness"] == pytest.approx(stats.skew(gray), rel=1e-4)
    assert values["kurtosis"] == pytest.approx(stats.kurtosis(gray), rel=1e-4)
    assert values["percentile_95"] == pytest.approx(np.percentile(gray, 95), rel=1e-5)
    assert values["entropy"] == pytest.approx(shannon_entropy((gray * 32).astype(int)), rel=1e-5)


def test_haar_keeps_energy() -> None:
    image = np.random.default_rng(0).normal(size=(1, 16, 16))
    low = image.reshape(1, 8, 2, 8, 2).sum(axis=(2, 4)) / 2
    first_level = _haar(image)[0, [0, 2, 4]]  # std of LH, HL, HH
    details = (image**2).sum() - (low**2).sum()
    assert (first_level**2).sum() * 64 == pytest.approx(details, rel=0.1)


def test_colour_is_seen() -> None:
    extractor = build_extractor("radiomics", 3)
    gray = pattern().repeat(1, 3, 1, 1)
    tinted = gray + torch.tensor([0.1, 0.0, -0.1])[:, None, None]
    assert float((extractor(gray) - extractor(tinted)).abs().max()) > 0.04


def test_standardiser_drops_constants_and_scales_the_rest() -> None:
    real = torch.randn(50, 3) * torch.tensor([1.0, 1000.0, 0.0]) + 5
    standardise = Standardiser.fit(real, one_unit=False)
    z = standardise(real)
    assert standardise.dimensions == 2 and z.dtype == torch.float64
    torch.testing.assert_close(z.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(z.std(0), torch.ones(2, dtype=torch.float64), atol=1e-9, rtol=0)
    assert not math.isnan(float(standardise(torch.full((1, 3), 1e6)).sum()))


def test_standardiser_drops_what_hardly_varies_among_features_of_one_unit() -> None:
    spread = torch.tensor([1.0, 0.9, 1.1, 1.0, 1.2, 0.5, DEAD * 0.8, 1e-3, 0.0])
    real = torch.randn(400, 9, generator=torch.Generator().manual_seed(0)) * spread
    assert Standardiser.fit(real, one_unit=True).keep.tolist() == [True] * 6 + [False] * 3
    assert Standardiser.fit(real, one_unit=False).keep.tolist() == [True] * 8 + [False]
    # All features alike: none hardly varies.
    assert Standardiser.fit(real[:, :1].repeat(1, 3), one_unit=True).dimensions == 3


def test_gradient_against_scipy() -> None:
    image = np.random.default_rng(0).random((1, 32, 32))
    expected = np.hypot(ndimage.sobel(image[0], axis=0), ndimage.sobel(image[0], axis=1)) / 8
    assert _gradient(image)[0, :2] == pytest.approx([expected.mean(), expected.std()], rel=1e-9)


def test_laplacian_of_gaussian_against_scipy() -> None:
    image = np.random.default_rng(0).random((1, 32, 32))
    expected = 2.0**2 * ndimage.gaussian_laplace(image[0], 2.0)
    assert _laplacian_of_gaussian(image)[0, 4:6] == pytest.approx([expected.mean(), expected.std()], rel=1e-9)
