"""A class as a mixture: public centres, what a patient adds to them, and the images that are drawn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from fedgen.families.latent.family import LatentFamily
from fedgen.families.latent.network import LatentImages
from fedgen.families.latent.options import LatentOptions
from fedgen.families.parts.centres import Centres, centres_of, one_centre
from fedgen.families.parts.estimate import Gaussians
from fedgen.families.parts.mistakes import ShareForgotten, Unclipped, Unscaled
from fedgen.families.parts.moment_options import MomentOptions
from fedgen.families.parts.moments import Layout
from fedgen.priors.analytic import analytic
from fedgen.priors.prior import Prior
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import image_of_class

#: Three clusters of three numbers, far apart.
PLACES = torch.tensor([[0.0, 4.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, -4.0]])


def clustered(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents (n, 3) of the clusters and which they are of."""
    rng = torch.Generator().manual_seed(seed)
    which = torch.randint(3, (n,), generator=rng)
    return PLACES[which] + 0.5 * torch.randn(n, 3, generator=rng), which


@pytest.fixture(scope="module")
def centres() -> Centres:
    return centres_of(clustered(600)[0], 3)


def test_the_centres_are_those_of_the_clusters(centres) -> None:
    apart = torch.cdist(centres.points, PLACES)
    assert sorted(apart.argmin(dim=1).tolist()) == [0, 1, 2]
    assert float(apart.min(dim=1).values.max()) < 0.15
    assert float((centres.within - 0.25 * torch.eye(3)).abs().max()) < 0.05
    z, which = clustered(200, seed=1)
    assert (apart.argmin(dim=1)[centres.nearest(z)] == which).float().mean() > 0.99


def test_latents_that_differ_in_the_last_digit_give_the_same_centres(centres) -> None:
    z = clustered(600)[0]
    again = centres_of(z * (1 + 1e-7), 3).points
    assert torch.allclose(again, centres.points, atol=1e-3)


@pytest.mark.parametrize("n", [0, 1, 29])
def test_few_public_latents_leave_centres_of_their_law(n) -> None:
    found = centres_of(clustered(600)[0][:n], 3)
    assert found.points.shape == (3, 3) and float(found.points.norm(dim=1).max()) < 2
    assert 0 < float(found.within.trace()) < 3


def test_one_centre_is_the_priors_mean() -> None:
    z, _ = clustered(50)
    one = centres_of(z, 1)
    assert torch.equal(one.points, torch.zeros(1, 3)) and torch.equal(one.within, torch.eye(3).double())
    assert one.nearest(z).unique().tolist() == [0]


@given(st.integers(0, 2**31), st.booleans(), st.floats(0.01, 100))
@settings(max_examples=60)
def test_a_patients_vector_is_never_longer_than_one(seed, own, size) -> None:
    rng = torch.Generator().manual_seed(seed)
    options = MomentOptions(moment_weight=0.65, class_covariances=own)
    layout = Layout(2, 3, options, Centres(size * torch.randn(4, 3, generator=rng), torch.eye(3).double()))
    z = size * torch.randn(20, 5, 3, generator=rng)
    labels = torch.randint(2, (20, 5), generator=rng)
    weights = torch.rand(20, 5, generator=rng)
    weights = weights / weights.sum(dim=1, keepdim=True)
    vectors = layout.vectors(z, labels, weights)
    assert vectors.shape == (20, layout.length)
    assert layout.length == 8 * 4 + (8 if own else 1) * 6
    assert float(vectors.norm(dim=1).max()) <= 1 + 1e-5


@pytest.mark.parametrize("kind", [Unclipped, ShareForgotten, Unscaled])
def test_each_mistake_makes_a_longer_vector(kind, centres) -> None:
    mistaken = kind(2, 3, MomentOptions(radius=2.0, moment_weight=0.65), centres)
    rng = torch.Generator().manual_seed(2)
    z = 6 * torch.randn(50, 4, 3, generator=rng)
    labels = torch.randint(2, (50, 4), generator=rng)
    assert float(mistaken.vectors(z, labels, torch.full((50, 4), 0.25)).norm(dim=1).max()) > 1.001


def network_of(found: Gaussians, centres: Centres) -> LatentImages:
    """Two classes, whose means are given from the centres."""
    network = LatentImages(analytic((1, 8, 8), 3), Layout(2, 3, MomentOptions(), centres))
    network.put(found)
    return network


def test_without_noise_each_class_is_its_own_mixture(centres) -> None:
    """Class 0 is of two clusters, class 1 of all three, a little beside the public centres."""
    z, which = clustered(3000, seed=3)
    z, labels = z + 0.3, (torch.arange(3000) % 2)
    kept = (labels == 1) | (which != 2)
    z, labels = z[kept], labels[kept]
    layout = Layout(2, 3, MomentOptions(radius=4.0), centres)
    mean = layout.vectors(z[:, None], labels[:, None], torch.ones(len(z), 1)).mean(dim=0)
    network = LatentImages(analytic((1, 8, 8), 3), layout)
    network.learn(layout.moments(mean, 0.0))
    rng = torch.Generator().manual_seed(4)
    asked = torch.arange(6000) % 2
    drawn = network.placed(torch.randn(6000, 3, generator=rng), network.component(asked, rng))
    for k in (0, 1):
        own, made = z[labels == k], drawn[asked == k]
        shares = [
            torch.bincount(torch.cdist(x, PLACES + 0.3).argmin(dim=1), minlength=3) / len(x)
            for x in (own, made)
        ]
        assert float((shares[0] - shares[1]).abs().max()) < 0.06
        assert float((own.mean(dim=0) - made.mean(dim=0)).abs().max()) < 0.2
        assert float((torch.cov(own.T) - torch.cov(made.T)).abs().max()) < 0.6
    assert network.unknown(("a", "b")) == ()


def test_the_density_is_that_of_a_mixture(centres) -> None:
    rng = torch.Generator().manual_seed(5)
    means = torch.randn(6, 3, generator=rng, dtype=torch.float64)
    shares = torch.tensor([0.1, 0.2, 0.3, 0.25, 0.05, 0.1], dtype=torch.float64)
    covariance = 0.5 * torch.eye(3, dtype=torch.float64)
    network = network_of(Gaussians(shares, means, covariance[None], torch.ones(6)), centres)
    z, labels = torch.randn(9, 3, generator=rng), torch.arange(9) % 2
    found = network.density_of_class(z, labels)
    for k in (0, 1):
        own = slice(3 * k, 3 * k + 3)
        law = MixtureSameFamily(
            Categorical(shares[own] / shares[own].sum()), MultivariateNormal(means[own], covariance)
        )
        assert torch.allclose(found[labels == k], law.log_prob(z[labels == k].double()), atol=1e-4)


def test_a_class_without_any_share_is_drawn_all_the_same(centres) -> None:
    network = network_of(
        Gaussians(torch.zeros(6), torch.zeros(6, 3), torch.eye(3)[None], torch.zeros(6)), centres
    )
    drawn = network.component(torch.zeros(50, dtype=torch.int64), torch.Generator().manual_seed(6))
    assert set(drawn.tolist()) == {0, 1, 2}
    assert network.unknown(("a", "b")) == ("a", "b")


def test_the_family_takes_its_centres_from_the_priors_donors() -> None:
    task = image_of_class(ImageSpec(channels=1, size=(8, 8)), ("a", "b"))
    family = LatentFamily(task, LatentOptions(latent_size=3, components=2))
    space = analytic((1, 8, 8), 3).space
    z, _ = clustered(200, seed=7)
    donors = space.decode(0.2 * z)
    on = family.on(Prior(space, donors))
    assert on.statistic.layout.kinds == 4 and on.contributions()[0].length == 4 * 4
    expected = centres_of(space.encode(donors), 2).points
    assert torch.allclose(on.statistic.layout.centres.points, expected, atol=1e-3)
    assert not torch.equal(family.statistic.layout.centres.points, on.statistic.layout.centres.points)
    networks = on.networks()
    images = on.sample(networks, {"class": torch.arange(6) % 2}, 6, torch.Generator().manual_seed(8))
    assert images.shape == (6, 1, 8, 8) and bool(torch.isfinite(images).all())
    alone = LatentFamily(task, LatentOptions(latent_size=3))
    assert torch.equal(alone.statistic.layout.centres.points, one_centre(3).points)
