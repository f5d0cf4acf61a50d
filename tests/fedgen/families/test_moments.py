"""A patient's vector of moments: norm 1 at most from any images, and what is made of a noisy mean of such vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedgen.families.parts.estimate import LEAST_VARIANCE, MOST_VARIANCE, drawn_to_zero, estimated, valid
from fedgen.families.parts.moment_options import MomentOptions
from fedgen.families.parts.moments import Layout

LAYOUT = Layout(3, 5, MomentOptions(radius=1.3, moment_weight=0.65))


@st.composite
def patients(draw):
    """Latents, labels and weights of up to four patients with up to four images: any numbers, any classes."""
    B, M = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    numbers = st.floats(-1e6, 1e6, width=32)
    z = draw(arrays(np.float32, (B, M, 5), elements=numbers))
    labels = draw(arrays(np.int64, (B, M), elements=st.integers(0, 2)))
    raw = draw(arrays(np.float64, (B, M), elements=st.floats(0, 1)))
    over = np.maximum(raw.sum(axis=1, keepdims=True), 1)
    return torch.from_numpy(z), torch.from_numpy(labels), torch.from_numpy((raw / over).astype(np.float32))


@given(patients(), st.floats(0.1, 10), st.tuples(*[st.floats(0.01, 100)] * 3), st.booleans())
@settings(max_examples=200)
def test_no_vector_is_longer_than_1(some, radius, weights, own) -> None:
    z, labels, shares = some
    a1, a2, a3 = weights
    options = MomentOptions(
        radius=radius, mean_weight=a1, share_weight=a2, moment_weight=a3, class_covariances=own
    )
    vectors = Layout(3, 5, options).vectors(z, labels, shares)
    assert float(vectors.double().norm(dim=1).max()) <= 1 + 1e-5


def test_the_bound_is_reached() -> None:
    z = torch.full((1, 2, 5), 100.0)
    longest = LAYOUT.vectors(z, torch.zeros(1, 2, dtype=torch.int64), torch.full((1, 2), 0.5))
    assert float(longest.norm()) == pytest.approx(1, abs=1e-6)


def reference(z, labels, weights):
    """The moments of the patients, one after the other, in numpy."""
    d, r = 5, 1.3 * math.sqrt(5)
    a = np.array([0.7, 0.3, 0.65])
    a = a / np.sqrt((a**2).sum())
    vectors = []
    for b in range(len(z)):
        sums, shares, second = np.zeros((3, d)), np.zeros(3), np.zeros((d, d))
        for m in range(z.shape[1]):
            x = z[b, m].astype(float)
            x = x * min(1, r / max(np.linalg.norm(x), 1e-12)) / r
            sums[labels[b, m]] += weights[b, m] * x
            shares[labels[b, m]] += weights[b, m]
            second += weights[b, m] * np.outer(x, x)
        upper = [second[i, j] * (1 if i == j else math.sqrt(2)) for i in range(d) for j in range(i, d)]
        vectors.append(np.concatenate([a[0] * sums.ravel(), a[1] * shares, a[2] * np.array(upper)]))
    return np.array(vectors)


@given(patients())
@settings(max_examples=50)
def test_vectors_are_the_moments_of_the_patients(some) -> None:
    z, labels, weights = some
    expected = reference(z.numpy(), labels.numpy(), weights.numpy())
    assert LAYOUT.vectors(z, labels, weights).numpy() == pytest.approx(expected, abs=1e-5)


def test_the_moments_come_back_out_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    z = 0.3 * rng.normal(size=(400, 1, 5)).astype(np.float32)
    labels = rng.integers(0, 3, (400, 1))
    vectors = LAYOUT.vectors(torch.from_numpy(z), torch.from_numpy(labels), torch.ones(400, 1))
    found = LAYOUT.moments(vectors.mean(dim=0), 0.01)
    z, labels = z[:, 0], labels[:, 0]
    assert found.shares.numpy() == pytest.approx(np.bincount(labels) / 400, abs=1e-5)
    sums = np.stack([z[labels == k].sum(axis=0) / 400 for k in range(3)])
    assert found.sums.numpy() == pytest.approx(sums, abs=1e-5)
    assert found.second[0].numpy() == pytest.approx(z.T @ z / 400, abs=1e-5)
    noise = 0.01 * torch.randn(20_000, LAYOUT.length, generator=torch.Generator().manual_seed(1))
    read = [LAYOUT.moments(row, 0.01) for row in noise[:2000]]
    for name in ("share", "sum"):
        values = torch.stack([getattr(moments, f"{name}s") for moments in read])
        assert float(values.std()) == pytest.approx(getattr(found, f"{name}_std"), rel=0.03)
    second = torch.stack([moments.second for moments in read])
    assert float(second[:, 0].diagonal(dim1=1, dim2=2).std()) == pytest.approx(found.second_std, rel=0.03)
    assert float(second[:, 0, 0, 1].std()) == pytest.approx(found.second_std / math.sqrt(2), rel=0.1)


def test_second_moments_may_be_left_out() -> None:
    rng = torch.Generator().manual_seed(6)
    z, labels = torch.randn(50, 1, 5, generator=rng), torch.randint(3, (50, 1), generator=rng)
    asked = {"radius": 1.3, "mean_weight": 0.7, "share_weight": 0.3}
    bare = Layout(3, 5, MomentOptions(**asked))
    assert (bare.length, LAYOUT.length) == (18, 33)
    vectors = bare.vectors(z, labels, torch.ones(50, 1))
    # What the others had of the norm is theirs now.
    whole = LAYOUT.vectors(z, labels, torch.ones(50, 1))[:, :18]
    assert torch.allclose(vectors, whole * math.hypot(0.7, 0.3, 0.65) / math.hypot(0.7, 0.3), atol=1e-6)
    assert float(vectors.norm(dim=1).max()) <= 1 + 1e-6
    moments = bare.moments(vectors.mean(dim=0), 0.0)
    assert moments.second is None
    clipped = LAYOUT.clipped(z)[:, 0].double()
    public = torch.cov(clipped.T, correction=0)
    found, known = estimated(moments, public), estimated(LAYOUT.moments(whole_mean(z, labels), 0.0))
    assert torch.allclose(found.means, known.means, atol=1e-5)
    # Of the patients' own covariance as if it were public the classes' differences are a part here too.
    assert torch.allclose(found.covariance, known.covariance, atol=1e-4)
    with pytest.raises(ValueError, match="second moments or public points"):
        estimated(moments)


def whole_mean(z, labels):
    return LAYOUT.vectors(z, labels, torch.ones(labels.shape)).mean(dim=0)


def test_without_noise_the_estimate_is_the_populations_own() -> None:
    rng = torch.Generator().manual_seed(2)
    labels = torch.arange(300) % 2
    z = 0.4 * torch.randn(300, 5, generator=rng) + labels[:, None] * 0.5
    mean = LAYOUT.vectors(z[:, None], labels[:, None], torch.ones(300, 1)).mean(dim=0)
    found = estimated(LAYOUT.moments(mean, 0.0))
    for k in (0, 1):
        assert found.means[k].numpy() == pytest.approx(z[labels == k].mean(dim=0).numpy(), abs=1e-4)
    within = sum((labels == k).float().mean() * torch.cov(z[labels == k].T, correction=0) for k in (0, 1))
    # The class that nobody has counts for a hundredth.
    assert (found.covariance[0] - valid(within.double())).abs().max() < 2e-3
    assert found.known.tolist() == [1.0, 1.0, 0.0]
    # A class that nobody has is like all patients.
    assert (found.means[2] - z.mean(dim=0)).abs().max() < 1e-4
    assert float(found.shares.sum()) == pytest.approx(1)
    assert float(found.shares[2]) == pytest.approx(0.01, abs=1e-3)


def test_noise_alone_makes_no_classes() -> None:
    """An absent class, nobody at all, and more noise than patients: finite, valid, and said to be unknown."""
    rng = torch.Generator().manual_seed(3)
    for noise in (0.0, 0.1, 10.0):
        known = []
        for _ in range(40):
            found = estimated(LAYOUT.moments(noise * torch.randn(LAYOUT.length, generator=rng), noise))
            assert all(bool(torch.isfinite(part).all()) for part in vars(found).values())
            values = torch.linalg.eigvalsh(found.covariance)
            assert LEAST_VARIANCE - 1e-9 <= float(values.min()) <= float(values.max()) <= MOST_VARIANCE + 1e-9
            known.append(found.known)
        assert float(torch.stack(known).mean()) < 0.3


@given(
    arrays(np.float64, 6, elements=st.floats(-1e3, 1e3)), arrays(np.float64, 6, elements=st.floats(0, 1e3))
)
def test_shrinkage_keeps_the_sign_and_never_enlarges(x, variance) -> None:
    x, variance = torch.from_numpy(x), torch.from_numpy(variance)
    less = drawn_to_zero(x, variance)
    assert (less.abs() <= x.abs() + 1e-12).all() and (less * x >= 0).all()
    assert torch.allclose(drawn_to_zero(x, torch.zeros(6, dtype=torch.float64)), x)


OWN = Layout(3, 5, MomentOptions(radius=3.0, moment_weight=0.65, class_covariances=True))


def two_classes(n: int):
    """Points of two classes with covariances of their own, and no point of a third."""
    rng = torch.Generator().manual_seed(8)
    labels = torch.arange(n) % 2
    spread = torch.where(labels[:, None] == 0, torch.tensor([0.4, 0.5, 1.0, 0.6, 0.5]), torch.full((5,), 0.8))
    return spread * torch.randn(n, 5, generator=rng) + 0.3 * labels[:, None], labels


def test_each_class_may_have_a_covariance_of_its_own() -> None:
    z, labels = two_classes(600)
    z = OWN.clipped(z)
    mean = OWN.vectors(z[:, None], labels[:, None], torch.ones(600, 1)).mean(dim=0)
    assert OWN.length == 3 * 5 + 3 + 3 * 15
    found = estimated(OWN.moments(mean, 0.0))
    for k in (0, 1):
        own = torch.cov(z[labels == k].T, correction=0).double()
        # The class that nobody has counts for a hundredth.
        assert (found.covariance[k] - valid(own)).abs().max() < 0.02


def test_covariances_that_are_noise_are_the_pooled_one() -> None:
    """Of one population in three classes, by little noise and by much."""
    rng = torch.Generator().manual_seed(9)
    z, labels = 0.7 * torch.randn(3000, 5, generator=rng), torch.arange(3000) % 3
    mean = OWN.vectors(z[:, None], labels[:, None], torch.ones(3000, 1)).mean(dim=0)
    for noise in (0.003, 0.03):
        apart, plain = [], []
        for _ in range(30):
            moments = OWN.moments(mean + noise * torch.randn(OWN.length, generator=rng), noise)
            found = estimated(moments)
            apart.append((found.covariance - found.covariance.mean(dim=0)).square().sum())
            each = moments.second / moments.shares[:, None, None]
            plain.append((each - each.mean(dim=0)).square().sum())
        assert sum(apart) < 0.3 * sum(plain)


def test_covariances_of_classes_need_second_moments() -> None:
    with pytest.raises(
        ValueError, match="class_covariances are made of second moments: give moment_weight above 0"
    ):
        MomentOptions(class_covariances=True)
