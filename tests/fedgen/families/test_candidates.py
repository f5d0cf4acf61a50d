"""The family `candidates`: features that see what is small, and public images chosen by what a sum says of classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from fedgen.errors import StudyError
from fedgen.families.candidates.choice import drawn, probabilities, surest
from fedgen.families.candidates.family import CandidatesFamily
from fedgen.families.candidates.options import CandidatesOptions
from fedgen.families.candidates.responses import RESPONSES, SCALES, responses, smoothed
from fedgen.families.registry import specs
from fedgen.priors.analytic import analytic
from fedgen.priors.prior import Prior
from fedgen.selftest.sums import SUM_CHECKS, installed_sums, noise, norm, own, part, sum_faults
from fedgen.study.load import load_study
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records, one_image_each
from fedgen.task.task import image_of_class

CLASSES = ("none", "spot")
OPTIONS = CandidatesOptions(latent_size=3)


def task(size=(16, 16), channels=1):
    return image_of_class(ImageSpec(channels=channels, size=size), CLASSES)


def pictures(n, seed, size=(16, 16)):
    """Noise on waves, and a bright spot of two pixels anywhere in every other image; with their labels."""
    rng = np.random.default_rng(seed)
    base = gaussian_filter(rng.standard_normal((n, *size)), (0, *[3] * len(size)))
    images = 0.3 * base / base.std() + 0.03 * rng.standard_normal((n, *size))
    labels = np.arange(n) % 2
    for image, label in zip(images, labels, strict=True):
        if label:
            corner = [int(rng.integers(0, side - 1)) for side in size]
            image[tuple(slice(at, at + 2) for at in corner)] += 0.8
    return torch.from_numpy(images[:, None]).float().clamp(-1, 1), torch.from_numpy(labels)


def prior_of(images):
    plain = analytic(tuple(images.shape[1:]), 4)
    return Prior(plain.space, images)


@pytest.fixture(scope="module")
def trained():
    """A family on 200 candidates, its networks after the sum of 100 patients without noise, and the true labels."""
    images, truth = pictures(200, 1)
    family = CandidatesFamily(task(), OPTIONS).on(prior_of(images))
    networks, (statistic,) = family.networks(), family.contributions()
    own, labels = pictures(100, 2)
    mean = statistic.vectors(networks, one_image_each({"image": own, "class": labels}), {}).mean(dim=0)
    return family, statistic.advance(networks, mean[None], 1e-6), images, truth


def positions(made, images):
    """Where each image that was made is among the candidates."""
    same = (made[:, None] == images[None]).flatten(2).all(dim=2)
    assert bool((same.sum(dim=1) == 1).all())
    return same.int().argmax(dim=1)


def test_what_is_small_and_anywhere_is_found(trained) -> None:
    family, networks, images, truth = trained
    labels = torch.arange(2).repeat(40)
    made = family.sample(networks, {"class": labels}, 80, torch.Generator().manual_seed(3))
    which = positions(made, images)
    assert float((truth[which] == labels).float().mean()) > 0.95
    assert len(which.unique()) == 80


def test_the_same_numbers_draw_the_same_and_others_draw_others(trained) -> None:
    family, networks, _, _ = trained
    labels = torch.ones(20, dtype=torch.int64)
    first, again, other = (
        family.sample(networks, {"class": labels}, 20, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_more_images_than_candidates_repeat_evenly(trained) -> None:
    family, networks, images, _ = trained
    labels = torch.zeros(700, dtype=torch.int64)
    made = family.sample(networks, {"class": labels}, 700, torch.Generator().manual_seed(4))
    counts = positions(made, images).bincount(minlength=200)
    assert set(counts.tolist()) <= {0, 700 // int((counts > 0).sum()), 700 // int((counts > 0).sum()) + 1}


def test_every_release_says_that_its_images_are_public(trained) -> None:
    family, networks, _, _ = trained
    (sentence,) = family.remarks(networks)
    assert sentence.startswith("Every image is a public image of the prior")
    statistic = family.contributions()[0]
    rng = torch.Generator().manual_seed(5)
    drowned = statistic.advance(family.networks(), 9 * torch.randn(1, statistic.length, generator=rng), 9.0)
    assert any("almost at random" in sentence for sentence in family.remarks(drowned))
    made = family.sample(drowned, {"class": torch.tensor([0, 1])}, 2, rng)
    assert bool(torch.isfinite(made).all())


def test_what_is_sent_are_the_classes_alone(trained) -> None:
    _, networks, _, _ = trained
    names = {name for name, _ in networks["candidates"].named_parameters()}
    assert names == {"shares", "means", "covariance", "known"}
    blank = CandidatesFamily(task(), OPTIONS).networks()["candidates"]
    assert [p.shape for p in blank.parameters()] == [p.shape for p in networks["candidates"].parameters()]


def test_a_patients_record_is_the_mean_over_her_images(trained) -> None:
    family, networks, _, _ = trained
    (statistic,) = family.contributions()
    images, labels = pictures(3, 7)
    record = Records({"image": images[None], "class": labels[None]}, {"patient": torch.full((1, 3), 1 / 3)})
    alone = one_image_each({"image": images, "class": labels})
    apart = statistic.vectors(networks, alone, {})
    assert torch.allclose(statistic.vectors(networks, record, {})[0], apart.mean(dim=0), atol=1e-6)
    rng = torch.Generator()
    score, each = family.score(networks, record, rng), family.score(networks, alone, rng)
    assert float(score[0]) == pytest.approx(float(each.mean()), rel=1e-5)
    wrong = one_image_each({"image": images, "class": 1 - labels})
    assert bool((each > family.score(networks, wrong, rng)).all())


def test_without_candidates_nothing_is_drawn() -> None:
    family = CandidatesFamily(task(), OPTIONS)
    with pytest.raises(StudyError, match="has no public images to choose from: name a prior with donors"):
        family.sample(family.networks(), {"class": torch.zeros(1, dtype=torch.int64)}, 1, torch.Generator())
    images, _ = pictures(19, 1)
    with pytest.raises(StudyError, match=r"holds 19 public images, but .* at least 20 .*more donors"):
        family.on(prior_of(images))
    wide = CandidatesFamily(task(), CandidatesOptions(latent_size=5))
    with pytest.raises(StudyError, match="4 components, but the study asks for a latent of 5"):
        wide.on(prior_of(pictures(20, 1)[0]))


def test_a_study_without_a_prior_is_refused() -> None:
    with pytest.raises(
        StudyError, match="prior is missing, and candidates cannot do without one: it makes no image"
    ):
        load_study("demo_gradients", ["model.family=candidates"])
    study = load_study("demo", ["model.family=candidates", "model.prior={phantom: {}}", "training.rounds=40"])
    assert (study.total_rounds, study.steps) == (1, False)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 8, 12), (1, 6, 7, 8)])
def test_responses_are_of_each_image_alone_and_of_no_window(shape) -> None:
    rng = torch.Generator().manual_seed(8)
    images = torch.rand(5, *shape, generator=rng, dtype=torch.float64) * 2 - 1
    found = responses(images)
    assert found.shape == (5, shape[0] * RESPONSES)
    assert torch.allclose(found[2:3], responses(images[2:3]))
    # A gain and an offset of a scanner change nothing.
    assert torch.allclose(found, responses(0.3 * images - 0.2), atol=1e-9)
    assert torch.equal(responses(torch.full((2, *shape), 0.7)), torch.zeros(2, shape[0] * RESPONSES))
    assert bool(torch.isfinite(responses(1e6 * images)).all())


def test_responses_are_those_of_scipys_filter() -> None:
    images, _ = pictures(4, 9)
    pixels = images[:, 0].double().numpy()
    standard = (pixels - pixels.mean(axis=(1, 2), keepdims=True)) / pixels.std(axis=(1, 2), keepdims=True)
    expected = [
        standard.max(axis=(1, 2)),
        np.sort(standard.reshape(4, -1))[:, 253],
        standard.min(axis=(1, 2)),
    ]
    for pair in SCALES:
        narrow, wide = (
            np.stack(
                [
                    gaussian_filter(each, std, mode="nearest", radius=int(np.ceil(3 * std)))
                    for each in standard
                ]
            )
            for std in pair
        )
        maps = (narrow - wide).reshape(4, -1)
        expected += [maps.max(axis=1), np.sort(maps)[:, 253], maps.min(axis=1), maps.std(axis=1)]
    assert responses(images.double()).numpy() == pytest.approx(np.stack(expected, axis=1), abs=1e-9)
    volume = torch.rand(1, 1, 5, 6, 7, dtype=torch.float64)
    smooth = gaussian_filter(volume[0, 0].numpy(), 1.5, mode="nearest", radius=5)
    assert smoothed(volume, 1.5)[0, 0].numpy() == pytest.approx(smooth, abs=1e-12)


@given(st.integers(1, 40), st.floats(0.01, 1), st.integers(0, 200), st.integers(0, 99))
def test_the_surest_are_taken_and_never_more_than_are_expected(n, share, wanted, seed) -> None:
    rng = torch.Generator().manual_seed(seed)
    probability = torch.rand(n, generator=rng, dtype=torch.float64)
    pool = surest(probability, share, wanted)
    expected = max(1, round(float(probability.sum())))
    assert len(pool.unique()) == len(pool) == min(expected, max(round(share * expected), wanted, 1))
    left = np.delete(probability.numpy(), pool.numpy())
    assert not len(left) or float(probability[pool].min()) >= left.max()
    which = drawn(pool, wanted, rng)
    assert len(which) == wanted and bool(torch.isin(which, pool).all())
    counts = which.bincount(minlength=n)[pool]
    assert int(counts.max() - counts.min()) <= 1


@given(st.integers(2, 40), st.integers(2, 4), st.floats(-50, 50), st.integers(0, 99))
def test_probabilities_give_the_classes_their_shares(n, classes, shift, seed) -> None:
    rng = torch.Generator().manual_seed(seed)
    densities = 3 * torch.randn(n, classes, generator=rng, dtype=torch.float64)
    shares = torch.rand(classes, generator=rng, dtype=torch.float64) + 0.1
    shares = shares / shares.sum()
    # All candidates seem to be of the first class, and for all by as much.
    moved = densities + shift * torch.eye(classes, dtype=torch.float64)[0]
    found = probabilities(moved, shares)
    assert torch.allclose(found.sum(dim=1), torch.ones(n, dtype=torch.float64))
    assert float((found.mean(dim=0) - shares).abs().max()) < 0.02
    # Bayes, but for an intercept a class.
    ratios = (found / found[:, :1]).log() - (densities - densities[:, :1])
    assert torch.allclose(ratios, ratios[:1].expand(n, -1), atol=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.65])
@pytest.mark.parametrize("axes", [2, 3])
def test_the_self_test_passes_and_catches_each_mistake(axes, weight, monkeypatch) -> None:

    spec = specs()["candidates"]
    small = spec.small.model_copy(update={"moment_weight": weight})
    monkeypatch.setattr("fedgen.selftest.sums.specs", lambda: {"candidates": replace(spec, small=small)})
    (subject,) = installed_sums("candidates", axes=axes)
    for check in SUM_CHECKS:
        assert check(subject).passed, check(subject)
    about = {
        "patients mixed in a sum": own,
        "patients twice in a sum": part,
        "30 % of a sum's noise": noise,
        "missing clip": norm,
        "share not counted": norm,
    }
    if weight:
        about["second moment unscaled"] = norm
    faults = sum_faults(subject)
    assert faults.keys() == about.keys()
    for what, planted in faults.items():
        assert not about[what](planted).passed, what
