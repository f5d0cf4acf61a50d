"""Extractors: shapes, determinism, pinned values and the meaning of single features."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet10
from safetensors.torch import save
from scipy import ndimage, stats
from skimage.measure import shannon_entropy

from fedgen.errors import DataError
from fedgen.evidence.metrics.standardise import DEAD, Standardiser
from fedgen.extractors.contract import Given
from fedgen.extractors.network_weights import NetworkWeights
from fedgen.extractors.parts.filters import _gradient, _haar, _laplacian_of_gaussian
from fedgen.extractors.registry import build_extractor, extractor_class, extractor_names
from fedgen.priors.linear_space import LinearSpace
from fedgen.priors.prior import Prior, no_donors
from fedgen.run.given_file import weights_path

NAMES = ("radiomics", "random_conv", "thumbnails")
#: sum and index-weighted sum of the features of `pattern`, and the hash, of version 1
SUM = 27.43017
WEIGHTED = 114.096
HASH = "6074b5f86f5b07c9a7bc605e4a99f17aebc92c1832cad2cc758ad326edcbe361"


def pattern(side: int = 32) -> torch.Tensor:
    """A fixed image that no random number generator can change."""
    y, x = np.mgrid[0:side, 0:side] / side
    return torch.tensor(0.6 * np.sin(9 * x + 4 * y * y) * np.cos(5 * y), dtype=torch.float32)[None, None]


def test_every_file_of_the_room_is_an_extractor_of_its_name() -> None:
    names = extractor_names()
    assert {*NAMES, "public_prior", "given_network"} == set(names)
    for name in names:
        assert extractor_class(name).name == name
    with pytest.raises(KeyError):
        build_extractor("median", 1)


@pytest.mark.parametrize(
    ("name", "said"), [("public_prior", "model.prior"), ("given_network", "evaluation.network")]
)
def test_an_extractor_that_lacks_what_it_is_made_of_says_what_to_do(name: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        build_extractor(name, 1)


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


def test_thumbnails_are_means_of_fields() -> None:
    image = torch.rand(1, 3, 32, 32)
    expected = image.mean(1).reshape(8, 4, 8, 4).mean((1, 3)).flatten()
    torch.testing.assert_close(build_extractor("thumbnails", 3)(image)[0], expected)


def test_the_prior_lends_its_encoder_and_another_prior_is_another_hash() -> None:
    q, _ = torch.linalg.qr(torch.randn(256, 5, generator=torch.Generator().manual_seed(0)))
    components = q.T.reshape(5, 1, 16, 16)
    prior = Prior(LinearSpace(torch.zeros(1, 16, 16), components, torch.ones(5)), no_donors((1, 16, 16)))
    extractor = build_extractor("public_prior", Given(1, prior=prior))
    image = torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(extractor(image), image.flatten(1) @ q)
    other = Prior(LinearSpace(torch.ones(1, 16, 16), components, torch.ones(5)), no_donors((1, 16, 16)))
    assert extractor.hash != build_extractor("public_prior", Given(1, prior=other)).hash
    assert extractor.id == f"public_prior 1 {extractor.hash[:12]}"


def test_a_network_comes_as_a_name_and_a_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = resnet10(spatial_dims=2, n_input_channels=1, widen_factor=0.125, num_classes=3).eval()
    content = save({name: each.contiguous() for name, each in network.state_dict().items()})
    asked = NetworkWeights(
        architecture="resnet10",
        options={"widen_factor": 0.125},
        sha256=hashlib.sha256(content).hexdigest(),
        source="made in this test",
    )
    monkeypatch.setenv("FEDGEN_WEIGHTS", str(tmp_path))
    with pytest.raises(DataError, match="not on this machine"):
        build_extractor("given_network", Given(1, network=asked))
    weights_path(asked.sha256).write_bytes(content)
    extractor = build_extractor("given_network", Given(1, network=asked))
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        network.fc = torch.nn.Identity()
        expected = network(images)
    torch.testing.assert_close(extractor(images), expected)
    assert extractor.num_features == 64 and extractor(images.expand(-1, 3, -1, -1)).shape == (2, 64)
    with pytest.raises(DataError, match="do not fit"):
        build_extractor("given_network", Given(1, network=asked.model_copy(update={"options": {}})))
    wrong = asked.model_copy(update={"options": {"no_such_option": 2}})
    with pytest.raises(DataError, match="makes no resnet10"):
        build_extractor("given_network", Given(1, network=wrong))
