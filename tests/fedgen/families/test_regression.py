"""Moments with numbers beside the images: the bound, least squares as sklearn knows them, and families given them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LinearRegression

from fedgen.errors import StudyError
from fedgen.families.candidates.options import SPEC as CANDIDATES
from fedgen.families.latent.family import LatentFamily
from fedgen.families.latent.options import LatentOptions
from fedgen.families.parts.given_groups import GivenGroups
from fedgen.families.parts.mistakes import NumbersUnbounded, ProductsUnshared
from fedgen.families.parts.moment_options import MomentOptions
from fedgen.families.parts.moments import Layout
from fedgen.families.parts.regression import regressed
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import one_image_each
from fedgen.task.task import Field, image_of, pairs_of

SPEC = ImageSpec(channels=1, size=(8, 8))
CLASS = Field("class", "class", classes=("a", "b"))
AGE = Field("covariates", "covariates", parts=(1,))
AGE_SEX = Field("covariates", "covariates", parts=(1, 2, 1))
WORDS = Field("embedding", "embedding", parts=(3,))


@st.composite
def patients(draw):
    """Latents, groups, weights and numbers of patients with up to four images: whatever they hold."""
    B, M = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    numbers = st.floats(-1e6, 1e6, width=32)
    z = draw(arrays(np.float32, (B, M, 4), elements=numbers))
    values = draw(arrays(np.float32, (B, M, 3), elements=numbers))
    labels = draw(arrays(np.int64, (B, M), elements=st.integers(0, 1)))
    raw = draw(arrays(np.float64, (B, M), elements=st.floats(0, 1)))
    weights = (raw / np.maximum(raw.sum(axis=1, keepdims=True), 1)).astype(np.float32)
    return tuple(torch.from_numpy(part) for part in (z, labels, weights, values))


@given(patients(), st.floats(0.1, 10), st.tuples(*[st.floats(0.01, 100)] * 3))
@settings(max_examples=80)
def test_no_vector_with_numbers_is_longer_than_1(some, radius, asked) -> None:
    a1, a2, a3 = asked
    options = MomentOptions(radius=radius, mean_weight=a1, share_weight=a2, moment_weight=a3)
    layout = Layout(2, 4, options, numbers=3)
    vectors = layout.vectors(*some)
    assert vectors.shape[1] == layout.length == 2 * 4 + 2 + 10 + 4 * 3 + 2 * 3 + 6
    assert float(vectors.double().norm(dim=1).max()) <= 1 + 1e-5


def test_the_bound_is_reached_and_each_mistake_is_beyond_it() -> None:
    z, values = torch.full((1, 2, 4), 100.0), torch.full((1, 2, 3), 100.0)
    same = (z, torch.zeros(1, 2, dtype=torch.int64), torch.full((1, 2), 0.5), values)
    options = MomentOptions(moment_weight=0.65)
    lengths = [
        float(kind(2, 4, options, None, 3).vectors(*same).norm())
        for kind in (Layout, NumbersUnbounded, ProductsUnshared)
    ]
    assert lengths[0] == pytest.approx(1, abs=1e-6)
    assert min(lengths[1:]) > 1.1


def population(n: int = 4000):
    """Latents of two groups, of which one is older, that move with two numbers; and what is true of them."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, n)
    values = np.clip(rng.uniform(-0.5, 0.5, (n, 2)) + 0.2 * labels[:, None], -0.7, 0.7)
    slopes = np.array([[0.8, 0.0], [-0.5, 0.3], [0.0, 0.0], [0.2, -0.6]])
    means = np.array([[0.2, 0.0, -0.3, 0.1], [0.6, -0.4, 0.3, 0.1]])
    z = means[labels] + values @ slopes.T + 0.3 * rng.standard_normal((n, 4))
    return z, labels, values, slopes, means


def of_population(noise: float = 0.0, seed: int = 0, moment_weight: float = 0.65, n: int = 4000):
    z, labels, values, *_ = population(n)
    layout = Layout(2, 4, MomentOptions(radius=4.0, moment_weight=moment_weight), numbers=2)
    parts = [torch.from_numpy(part)[:, None] for part in (z, labels)]
    mean = layout.vectors(
        *parts, torch.ones(n, 1, dtype=torch.float64), torch.from_numpy(values)[:, None]
    ).mean(dim=0)
    rng = torch.Generator().manual_seed(seed)
    return regressed(layout.moments(mean + noise * torch.randn(mean.shape, generator=rng), noise))


def test_without_noise_it_is_least_squares() -> None:
    z, labels, values, *_ = population()
    reference = LinearRegression().fit(np.column_stack([values, labels]), z)
    found = of_population()
    assert found.slopes.numpy() == pytest.approx(reference.coef_[:, :2], abs=1e-6)
    means = (found.rest.sums / found.rest.shares[:, None]).numpy()
    expected = np.stack([reference.intercept_, reference.intercept_ + reference.coef_[:, 2]])
    assert means == pytest.approx(expected, abs=1e-6)
    left = z - values @ reference.coef_[:, :2].T
    assert found.rest.second[0].numpy() == pytest.approx(left.T @ left / len(z), abs=1e-6)
    within = values - np.stack([values[labels == k].mean(axis=0) for k in (0, 1)])[labels]
    explained = np.cov((within @ reference.coef_[:, :2].T).T, bias=True)
    assert found.explained.numpy() == pytest.approx(explained, abs=1e-6)


def test_noise_draws_slopes_to_nothing_and_little_noise_leaves_them() -> None:
    *_, slopes, _ = population()
    few, much = (
        torch.stack([of_population(noise, seed).slopes for seed in range(20)]) for noise in (0.0002, 3.0)
    )
    assert float((few.mean(dim=0) - torch.from_numpy(slopes)).abs().max()) < 0.1
    assert bool(torch.isfinite(much).all())
    plain = 3.0 * 4 * 2 / 0.35 / 0.3
    assert float(much.abs().median()) < 0.2 * plain


def test_groups_and_numbers_of_conditions() -> None:
    both = GivenGroups(image_of(SPEC, CLASS, AGE_SEX))
    assert both.names[:2] == ("a, value 1 of covariate 2", "a, value 2 of covariate 2")
    assert (len(both.names), both.numbers) == (4, 2)
    fields = {
        "class": torch.tensor([0, 1, 1]),
        "covariates": torch.tensor([[-1.0, 1, 0, 1], [0.5, 0, 1, 0], [1, 1, 0, 1]]),
    }
    like = torch.zeros(3)
    assert both.labels(fields, like).tolist() == [0, 3, 2]
    values = both.values(fields, like)
    assert values[:, 0].tolist() == pytest.approx([-(0.5**0.5), 0.5 * 0.5**0.5, 0.5**0.5])
    assert float(values.norm(dim=1).max()) == pytest.approx(1)
    nothing = GivenGroups(image_of(SPEC))
    assert (nothing.names, nothing.numbers) == (("",), 0)
    assert nothing.labels({}, like).tolist() == [0, 0, 0] and nothing.values({}, like).shape == (3, 0)
    said = GivenGroups(image_of(SPEC, AGE, WORDS))
    longest = said.values({"covariates": torch.ones(1, 1), "embedding": torch.eye(3)[:1]}, torch.zeros(1))
    assert float(longest.norm()) == pytest.approx(1)


def learned(task, fields, **options):
    family = LatentFamily(task, LatentOptions(latent_size=6, radius=3.0, **options))
    networks, (statistic,) = family.networks(), family.contributions()
    mean = statistic.vectors(networks, one_image_each(fields), {}).mean(dim=0)
    return family, statistic.advance(networks, mean[None], 1e-6)


def test_images_are_drawn_as_old_as_asked() -> None:
    """Brightness is the age."""
    rng = torch.Generator().manual_seed(1)
    age = torch.rand(400, 1, generator=rng) * 2 - 1
    images = 0.5 * age[:, :, None, None] + 0.05 * torch.randn(400, 1, 8, 8, generator=rng)
    task = image_of(SPEC, AGE)
    family, networks = learned(task, {"image": images, "covariates": age}, moment_weight=0.65)
    asked = torch.linspace(-1, 1, 300)[:, None]
    made = family.sample(networks, {"covariates": asked}, 300, torch.Generator().manual_seed(2))
    line = np.polyfit(asked[:, 0].numpy(), made.mean(dim=(1, 2, 3)).numpy(), 1)
    assert line == pytest.approx([0.5, 0.0], abs=0.06)
    alike = one_image_each({"image": images, "covariates": age})
    wrong = one_image_each({"image": images, "covariates": -age})
    known, mistaken = (family.score(networks, records, rng) for records in (alike, wrong))
    assert float((known > mistaken).float().mean()) > 0.9
    assert family.remarks(networks) == ()


def test_a_mask_is_drawn_with_its_image() -> None:
    """Inside the mask the image is bright, on the left or on the right by class."""
    labels = torch.arange(200) % 2
    side = torch.where(torch.arange(8) < 4, 1.0, -1.0) * (1 - 2 * labels[:, None])
    mask = side[:, None, None, :].expand(-1, 1, 8, 8)
    images = 0.5 * mask + 0.05 * torch.randn(200, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    task = pairs_of(SPEC, ("side",), CLASS)
    family, networks = learned(task, {"image": images, "mask": mask, "class": labels}, moment_weight=0.65)
    made = family.sample(networks, {"class": labels[:100]}, 100, torch.Generator().manual_seed(4))
    assert made.shape == (100, 2, 8, 8)
    inside = made[:, 1] > 0
    assert float((inside == (mask[:100, 0] > 0)).float().mean()) > 0.9
    assert float(made[:, 0][inside].mean() - made[:, 0][~inside].mean()) > 0.5


@pytest.mark.parametrize("size", [(8, 8), (8, 8, 8)])
def test_nothing_is_given(size) -> None:
    task = image_of(ImageSpec(channels=1, size=size))
    images = torch.rand(30, 1, *size, generator=torch.Generator().manual_seed(5)) - 0.8
    family, networks = learned(task, {"image": images})
    made = family.sample(networks, {}, 64, torch.Generator().manual_seed(6))
    assert made.shape == (64, 1, *size)
    # Its mean is that of the images; no second moment was asked for, so that it spreads as the prior does.
    assert float(made.mean()) == pytest.approx(float(images.mean()), abs=0.1)


def test_what_no_public_image_has_is_refused() -> None:
    assert CANDIDATES.supports(image_of(SPEC, CLASS)) is None
    assert CANDIDATES.supports(pairs_of(SPEC, ("side",), CLASS)) is None
    assert CANDIDATES.supports(image_of(SPEC, Field("covariates", "covariates", parts=(2,)))) is None
    for task, reason in (
        (image_of(SPEC, AGE), "a number is neither"),
        (image_of(SPEC, WORDS), "a number is neither"),
        (image_of(SPEC), "nothing by which to choose"),
    ):
        assert reason in str(CANDIDATES.supports(task))
    with pytest.raises(StudyError, match="class_covariances and covariates that are numbers"):
        Layout(2, 4, MomentOptions(moment_weight=0.65, class_covariances=True), numbers=1)
