"""MS-SSIM diversity: scales, pairs, and what identical or repeated images give."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from torch import Tensor

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.metrics.diversity import measure_diversity, ms_ssim, random_pairs, scales_for
from fedgen.evidence.pooled import PooledImages

MakeImages = Callable[..., Tensor]


@pytest.mark.parametrize(
    ("side", "scales"), [(16, 1), (24, 2), (32, 2), (64, 3), (96, 3), (128, 4), (176, 5), (512, 5)]
)
def test_scales_follow_the_image_size(side: int, scales: int) -> None:
    assert scales_for(side, 2 * side) == scales
    x = torch.rand(2, 1, side, side) * 2 - 1
    torch.testing.assert_close(ms_ssim(x, x), torch.ones(2), atol=1e-5, rtol=0)


def test_one_scale_is_plain_ssim() -> None:
    x, y = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = structural_similarity(
        (x[0].numpy() + 1) / 2,
        (y[0].numpy() + 1) / 2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )[1].mean()
    # The two differ in how they continue the image beyond its border.
    assert float(ms_ssim(x[None], y[None])) == pytest.approx(max(expected, 0), abs=0.03)


@given(
    groups=st.lists(st.integers(1, 4), min_size=0, max_size=7),
    wanted=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_pairs_are_of_different_patients_and_never_repeat(groups: list[int], wanted: int, seed: int) -> None:
    owners = torch.repeat_interleave(torch.arange(len(groups)) * 10, torch.tensor(groups, dtype=torch.int64))
    pairs = random_pairs(owners, wanted, random.Random(seed))
    assert pairs.shape == (min(wanted, len(groups) * (len(groups) - 1) // 2), 2)
    owned = [frozenset((int(owners[a]), int(owners[b]))) for a, b in pairs.tolist()]
    assert all(len(pair) == 2 for pair in owned) and len(set(owned)) == len(owned)


def test_pairs_of_very_many_images_take_no_memory() -> None:
    assert len(random_pairs(torch.arange(200_000), 5, random.Random(0))) == 5


def test_a_collapsed_generator_shows(make_images: MakeImages) -> None:
    labels = torch.arange(40) % 2
    images = make_images(labels, seed=0)
    real = PooledImages(images, labels, torch.arange(40) // 4, torch.zeros_like(labels))
    collapsed = LabelledImages(images[labels == 1][:1].repeat(20, 1, 1, 1), torch.ones(20, dtype=torch.int64))
    none, lesion = measure_diversity(real, collapsed, ("none", "lesion"), seed=0)
    assert lesion.synthetic == pytest.approx(1, abs=1e-5) and lesion.real < 0.9
    assert lesion.pairs == 45  # ten patients of each class
    assert none.synthetic is None and none.real is not None and "synthetic" in none.note


def test_few_pairs_are_said(make_images: MakeImages) -> None:
    labels = torch.zeros(4, dtype=torch.int64)
    images = make_images(labels, seed=0)
    real = PooledImages(images, labels, torch.tensor([0, 0, 1, 2]), labels)
    (entry,) = measure_diversity(real, LabelledImages(images, labels), ("none",), seed=0)
    assert entry.pairs == 3 and entry.note == "Few pairs (3): the means are coarse."


def test_a_class_of_one_patient_has_no_real_pairs(make_images: MakeImages) -> None:
    labels = torch.zeros(6, dtype=torch.int64)
    images = make_images(labels, seed=0)
    real = PooledImages(images, labels, labels, labels)
    (entry,) = measure_diversity(real, LabelledImages(images, labels), ("none",), seed=0)
    assert entry.real is None and entry.synthetic is not None and "two patients" in entry.note
