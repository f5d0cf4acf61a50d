"""The family `latent`: the Gaussians that its one sum gives, and the images that are drawn from them."""

from __future__ import annotations

import pytest
import torch

from fedgen.errors import StudyError
from fedgen.families.latent.family import LatentFamily
from fedgen.families.latent.network import NEIGHBOURS, LatentImages
from fedgen.families.latent.options import LatentOptions
from fedgen.families.parts.estimate import Gaussians, valid
from fedgen.families.parts.moment_options import MomentOptions
from fedgen.families.parts.moments import Layout
from fedgen.mechanisms.statistics import bounded
from fedgen.priors.analytic import analytic
from fedgen.priors.linear_space import LinearSpace
from fedgen.priors.prior import Prior
from fedgen.selftest.sums import COVARIATES, SUM_CHECKS, installed_sums, noise, norm, own, part, sum_faults
from fedgen.study.load import load_study
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records, one_image_each
from fedgen.task.task import image_of_class

CLASSES = ("a", "b", "c")
OPTIONS = LatentOptions(latent_size=5, radius=1.3)
ABOUT_NUMBERS = {"missing clip", "covariates unbounded", "products unshared"}


def task(size=(8, 8)):
    return image_of_class(ImageSpec(channels=1, size=size), CLASSES)


@pytest.fixture
def known_network():
    """Three classes with a covariance of its own."""
    network = LatentImages(analytic((1, 8, 8), 4), Layout(3, 4, MomentOptions()))
    rng = torch.Generator().manual_seed(4)
    root = 0.5 * torch.randn(4, 4, generator=rng, dtype=torch.float64)
    covariance = valid(root @ root.T)
    means = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    network.put(Gaussians(torch.tensor([0.5, 0.3, 0.2]), means, covariance[None], torch.ones(3)))
    return network


def test_samples_have_the_moments_of_their_class(known_network) -> None:
    labels = torch.arange(3).repeat(8000)
    z = known_network.placed(torch.randn(24_000, 4, generator=torch.Generator().manual_seed(5)), labels)
    for k in range(3):
        mine = z[labels == k]
        assert (mine.mean(dim=0) - known_network.means[k]).abs().max() < 0.06
        assert (torch.cov(mine.T) - known_network.covariance[0]).abs().max() < 0.12


def test_the_density_is_the_normal_one(known_network) -> None:
    z, labels = torch.randn(7, 4, generator=torch.Generator().manual_seed(6)), torch.arange(7) % 3
    expected = [
        torch.distributions.MultivariateNormal(
            known_network.means[k].double(), known_network.covariance[0].double()
        ).log_prob(row.double())
        for row, k in zip(z, labels, strict=True)
    ]
    found = known_network.log_density(z, labels)
    assert found.detach().numpy() == pytest.approx(torch.stack(expected).detach().numpy(), rel=1e-5)


def test_a_model_that_is_no_covariance_is_made_one(known_network) -> None:
    with torch.no_grad():
        known_network.covariance.copy_(torch.full((1, 4, 4), -7.0))
    z = known_network.placed(torch.ones(3, 4), torch.arange(3))
    assert bool(torch.isfinite(z).all())
    assert bool(torch.isfinite(known_network.log_density(z, torch.arange(3))).all())


def test_texture_comes_from_a_near_donor() -> None:
    plain = analytic((1, 8, 8), 4)
    rng = torch.Generator().manual_seed(7)
    donors = (torch.rand(20, 1, 8, 8, generator=rng) - 0.5).clamp(-1, 1)
    prior = Prior(plain.space, donors)
    network, bare = (LatentImages(of, Layout(2, 4, MomentOptions())) for of in (prior, plain))
    z = 0.1 * torch.randn(6, 4, generator=rng)
    which = torch.tensor([0, 1, 2, 3, 0, 9])
    lent = network.decode(z, which) - bare.decode(z, which)
    own = donors - plain.space.decode(network(donors))
    for row, rank, texture in zip(z, which.tolist(), lent, strict=True):
        order = (network(donors) - row).norm(dim=1).argsort()
        assert torch.allclose(texture, own[order[rank % NEIGHBOURS]], atol=1e-5)
    assert float(network(lent).abs().max()) < 1e-3


def test_what_is_trained_are_the_classes_alone() -> None:
    (name, network), *rest = LatentFamily(task(), OPTIONS).networks().items()
    assert (name, rest) == ("latent", [])
    assert {key for key, _ in network.named_parameters()} == {"shares", "means", "covariance", "known"}


def test_a_patients_record_is_the_mean_over_her_images() -> None:
    family = LatentFamily(task(), OPTIONS)
    networks, (statistic,) = family.networks(), family.contributions()
    rng = torch.Generator().manual_seed(8)
    images = torch.rand(1, 3, 1, 8, 8, generator=rng) * 2 - 1
    labels = torch.tensor([[0, 2, 2]])
    record = Records({"image": images, "class": labels}, {"patient": torch.full((1, 3), 1 / 3)})
    apart = statistic.vectors(networks, one_image_each({"image": images[0], "class": labels[0]}), {})
    assert torch.allclose(statistic.vectors(networks, record, {})[0], apart.mean(dim=0), atol=1e-6)
    score = family.score(networks, record, rng)
    each = family.score(networks, one_image_each({"image": images[0], "class": labels[0]}), rng)
    assert float(score[0]) == pytest.approx(float(each.mean()), rel=1e-5)


def test_a_patient_whose_latents_are_not_finite_counts_nothing_and_disturbs_nobody() -> None:
    class Broken(LinearSpace):
        """A space that has no place for a white image."""

        def encode(self, images):
            """NaN for white."""
            white = images.flatten(1).amin(dim=1, keepdim=True) == 1
            return torch.where(white, torch.nan, super().encode(images))

        def first(self, d):
            """Of all that it has."""
            return self

    plain = analytic((1, 8, 8), 5)
    family = LatentFamily(task(), OPTIONS)
    odd = family.on(Prior(Broken(*plain.space.tensors().values()), plain.donors))
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(8))
    images[1] = 1.0
    records = one_image_each({"image": images, "class": torch.tensor([0, 1, 2])})
    (statistic,) = odd.contributions()
    vectors = bounded(statistic.vectors(odd.networks(), records, {}))
    expected = bounded(statistic.vectors(family.networks(), records, {}))
    assert torch.equal(vectors[1], torch.zeros(statistic.length))
    assert torch.allclose(vectors[[0, 2]], expected[[0, 2]])


def test_a_latent_larger_than_the_image_is_refused() -> None:
    with pytest.raises(StudyError, match="latent of 65 is larger than an image of 64"):
        LatentFamily(task(), LatentOptions(latent_size=65))


@pytest.mark.parametrize("axes", [2, 3])
def test_the_self_test_passes_and_catches_each_mistake(axes) -> None:
    (subject,) = installed_sums("latent", axes=axes)
    for check in SUM_CHECKS:
        assert check(subject).passed, check(subject)
    about = {
        "patients mixed in a sum": own,
        "patients twice in a sum": part,
        "30 % of a sum's noise": noise,
        "missing clip": norm,
        "share not counted": norm,
        "second moment unscaled": norm,
    }
    _catches(subject, about)


def test_the_self_test_passes_with_covariates_and_catches_their_mistakes() -> None:
    (subject,) = installed_sums("latent", given=(COVARIATES,))
    assert subject.statistic.layout.numbers == 2 and subject.statistic.layout.classes == 6
    for check in SUM_CHECKS:
        assert check(subject).passed, check(subject)
    faults = {what: fault for what, fault in sum_faults(subject).items() if what in ABOUT_NUMBERS}
    assert faults.keys() == ABOUT_NUMBERS
    for what, planted in faults.items():
        assert not norm(planted).passed, what


def _catches(subject, about) -> None:
    faults = sum_faults(subject)
    assert faults.keys() == about.keys()
    for what, planted in faults.items():
        assert not about[what](planted).passed, what


def test_one_exchange_whatever_the_training_says() -> None:
    study = load_study("demo", ["model.family=latent", "training.rounds=40", "training.local_steps=9"])
    assert (study.total_rounds, study.steps) == (1, False)


def test_a_class_that_nobody_has_is_said_to_be_unknown() -> None:
    family = LatentFamily(task(), OPTIONS)
    networks, (statistic,) = family.networks(), family.contributions()
    rng = torch.Generator().manual_seed(9)
    labels = torch.arange(60) % 2
    images = (torch.rand(60, 1, 8, 8, generator=rng) + labels[:, None, None, None] - 1).clamp(-1, 1)
    mean = statistic.vectors(networks, one_image_each({"image": images, "class": labels}), {}).mean(dim=0)
    known = statistic.advance(networks, mean[None], 1e-4)
    (sentence,) = family.remarks(known)
    assert sentence.startswith("What was measured of the class c could be noise for the most part")
    drowned = statistic.advance(networks, mean[None] + 5 * torch.randn(1, len(mean), generator=rng), 5.0)
    assert len(family.remarks(drowned)) >= 2


def test_classes_with_covariances_of_their_own_are_sampled_and_known_by_them() -> None:
    network = LatentImages(
        analytic((1, 8, 8), 4), Layout(2, 4, MomentOptions(moment_weight=0.65, class_covariances=True))
    )
    covariance = torch.stack([torch.diag(torch.tensor([4.0, 1.0, 0.5, 0.1])), 0.3 * torch.eye(4)]).double()
    means = torch.randn(2, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    network.put(Gaussians(torch.tensor([0.5, 0.5]), means, covariance, torch.ones(2)))
    labels = torch.arange(2).repeat(8000)
    z = network.placed(torch.randn(16_000, 4, generator=torch.Generator().manual_seed(5)), labels)
    found = network.log_density(z[:20], labels[:20])
    for k in range(2):
        assert (torch.cov(z[labels == k].T) - covariance[k]).abs().max() < 0.2
        normal = torch.distributions.MultivariateNormal(network.means[k].double(), covariance[k])
        assert torch.allclose(
            found[labels[:20] == k], normal.log_prob(z[:20][labels[:20] == k].double()), atol=1e-4
        )
