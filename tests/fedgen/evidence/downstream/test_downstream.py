"""Downstream: signal is found, controls stay at chance, undefined cells say why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.downstream.arms import (
    COMPARISONS,
    SITE_ALONE,
    SITE_COMPARISONS,
    TITLES,
    shuffled_within_classes,
    training_set,
)
from fedgen.evidence.downstream.cells import METRICS, why_undefined
from fedgen.evidence.downstream.classifier import augment, build_classifier, probabilities, train_classifier
from fedgen.evidence.downstream.downstream import Downstream, measure_downstream
from fedgen.evidence.pooled import pool

MakeSite = Callable[..., SiteData]
MakeSynthetic = Callable[..., LabelledImages]
MakeImages = Callable[..., Tensor]


def measure(
    sites: list[SiteData], synthetic: LabelledImages, *, steps: int = 50, seeds: int = 2
) -> Downstream:
    return measure_downstream(
        pool(sites, (Part.TRAIN,)),
        pool(sites, (Part.TEST,)),
        synthetic,
        sites[0].classes,
        n_sites=len(sites),
        steps=steps,
        seeds=seeds,
        bootstrap=200,
        seed=0,
    )


@pytest.fixture(scope="module")
def shared() -> dict[str, Downstream]:
    return {}


@pytest.fixture
def result(shared: dict[str, Downstream], make_site: MakeSite) -> Downstream:
    """Two sites, the second with one class; the synthetic set is a copy of the real training images."""
    if not shared:
        sites = [make_site("a", patients=48), make_site("b", patients=24, seed=1, one_class=True)]
        train = pool(sites, (Part.TRAIN,))
        shared["once"] = measure(sites, LabelledImages(train.images, train.labels))
    return shared["once"]


def value(result: Downstream, arm: str, metric: str = "auroc") -> float:
    score = next(a for a in result.arms if a.arm == arm).pooled.scores[metric]
    assert score is not None and score.low <= score.value <= score.high
    assert score.low >= 0 and score.high <= 1
    return score.value


def test_signal_is_found_and_a_copy_of_real_is_as_good(result: Downstream) -> None:
    assert value(result, "TRTR") > 0.9 and value(result, "TRTR", "balanced_accuracy") > 0.75
    # The copy is the same set with the same seeds: the same classifier exactly.
    assert value(result, "TSTR") == value(result, "TRTR")
    assert value(result, "TRTR+S") > 0.9 and value(result, "TRTR+R") > 0.9


def test_shuffled_labels_are_near_chance(result: Downstream) -> None:
    for arm in ("TRTR", "TSTR"):
        assert abs(value(result, f"{arm}-shuffled", "simple") - 0.5) < 0.15
        assert value(result, f"{arm}-shuffled") < value(result, arm) - 0.2


def test_arms_are_complete_and_counted(result: Downstream) -> None:
    assert [arm.arm for arm in result.arms] == [*TITLES, SITE_ALONE]
    sizes = {arm.arm: arm.n_train for arm in result.arms}
    assert sizes["TRTR+S"] == sizes["TRTR+R"] == sizes["TRTR"] + sizes["TSTR"]
    assert result.test_patients == (16, 8)


def test_a_site_of_one_class_is_null_with_its_reason(result: Downstream) -> None:
    for arm in result.arms:
        good, one_class = arm.per_site
        assert good.scores["auroc"] is not None and good.scores["balanced_accuracy"] is not None
        assert set(one_class.scores.values()) == {None}
        assert one_class.note == "All test images are of one class, none."


def test_differences_are_paired(result: Downstream) -> None:
    found = {(d.arm, d.against, d.metric): d for d in result.differences}
    copy = found["TSTR", "TRTR", "auroc"]
    # Independent replicates of two equal arms would give an interval around zero, paired ones exactly zero.
    assert (copy.value, copy.low, copy.high) == (0, 0, 0)
    assert set(found) == {
        (arm, against, metric) for arm, against in (*COMPARISONS, *SITE_COMPARISONS) for metric in METRICS
    }


def test_an_arm_without_a_class_is_null_and_the_others_run(
    make_site: MakeSite, make_synthetic: MakeSynthetic
) -> None:
    synthetic = make_synthetic(20)
    lesions = LabelledImages(synthetic.images[synthetic.labels == 1], synthetic.labels[synthetic.labels == 1])
    result = measure([make_site(patients=24)], lesions, steps=2, seeds=1)
    arms = {arm.arm: arm for arm in result.arms}
    assert arms["TSTR"].pooled.scores["auroc"] is None
    assert arms["TSTR"].pooled.note == "The training set has no image of none."
    score = arms["TRTR"].pooled.scores["auroc"]
    assert score is not None and score.std_seeds is None
    assert all(d.value is None for d in result.differences if d.arm == "TSTR")
    # A single site has no score within sites that is not its score.
    assert all(
        d.value is not None
        for d in result.differences
        if d.arm != "TSTR" and METRICS[d.metric][0] != "within"
    )


@pytest.mark.parametrize(
    ("labels", "patients", "reason"),
    [
        ([], [], "There is no test patient."),
        ([1, 1], [0, 1], "All test images are of one class, b."),
        ([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 4], "Fewer than 3 test patients of a class: b (2)."),
        ([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5], None),
    ],
)
def test_undefined_scores_say_why(labels: list[int], patients: list[int], reason: str | None) -> None:
    arrays = np.array(labels, dtype=np.int64), np.array(patients, dtype=np.int64)
    assert why_undefined(*arrays, ("a", "b")) == reason


def test_shuffled_labels_say_nothing_of_the_true_ones() -> None:
    labels = torch.tensor([0] * 40 + [1] * 40 + [2] * 20)
    shuffled = shuffled_within_classes(labels, seed=0)
    for c in range(3):
        counts = torch.bincount(shuffled[labels == c], minlength=3)
        assert int(counts.max() - counts.min()) <= 1
    assert not torch.equal(shuffled, shuffled_within_classes(labels, seed=1))


def test_the_duplicated_control_has_the_class_counts_of_its_rival(
    make_site: MakeSite, make_synthetic: MakeSynthetic
) -> None:
    real, synthetic = pool([make_site(patients=18)], (Part.TRAIN,)), make_synthetic(31)
    joined, duplicated = (training_set(arm, real, synthetic, seed=0) for arm in ("TRTR+S", "TRTR+R"))
    assert torch.equal(torch.bincount(joined.labels), torch.bincount(duplicated.labels))
    originals = {image.numpy().tobytes() for image in real.images}
    assert {image.numpy().tobytes() for image in duplicated.images} == originals


def test_training_repeats_and_leaves_the_global_generator_alone(make_images: MakeImages) -> None:
    labels = torch.arange(12) % 2
    images = make_images(labels, seed=0)
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first = probabilities(train_classifier(images, labels, 2, steps=3, seed=4), images)
    torch.testing.assert_close(torch.rand(2), expected)
    again = probabilities(train_classifier(images, labels, 2, steps=3, seed=4), images)
    torch.testing.assert_close(first, again)
    assert first.shape == (12, 2) and torch.allclose(first.sum(1), torch.ones(12, dtype=torch.float64))


@pytest.mark.parametrize("size", [(1, 16, 16), (1, 28, 32), (3, 64, 48), (1, 256, 256)])
def test_the_classifier_fits_every_image_size(size: tuple[int, int, int]) -> None:
    net = build_classifier(*size, 3).eval()
    assert net(torch.zeros(2, *size)).shape == (2, 3)
    assert sum(p.numel() for p in net.parameters()) < 100_000


def test_augmentation_shifts_and_stays_in_range() -> None:
    image = torch.linspace(-1, 1, 32).repeat(32, 1)[None, None]
    padded = torch.nn.functional.pad(image, (2,) * 4, mode="reflect")
    x = augment(padded, torch.zeros(50, dtype=torch.int64), 2, torch.Generator().manual_seed(0))
    assert x.shape == (50, 1, 32, 32) and float(x.abs().max()) <= 1
    assert len({round(float(v), 4) for v in x[:, 0, 0, 16]}) > 20
