"""Masks are compared by case, as an independent reading of the definitions has it; empty ones by the stated rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt
from torch import Tensor

from fedgen.evidence.downstream.overlap import case_scores

SPACING = (2.0, 1.0)


def square(top: int, left: int, side: int = 6, value: int = 1, size: int = 24) -> Tensor:
    mask = torch.zeros(1, 1, size, size, dtype=torch.uint8)
    mask[..., top : top + side, left : left + side] = value
    return mask


def distances(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """HD95 and surface Dice within 1 mm of two masks that have something, by scipy alone."""
    edges = [mask & ~binary_erosion(mask) for mask in (found, truth)]
    to_truth = distance_transform_edt(~edges[1], sampling=SPACING)[edges[0]]
    to_found = distance_transform_edt(~edges[0], sampling=SPACING)[edges[1]]
    hd95 = max(np.percentile(to_truth, 95), np.percentile(to_found, 95))
    met = (to_truth <= 1).sum() + (to_found <= 1).sum()
    return float(hd95), float(met / (len(to_truth) + len(to_found)))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(3, 9))
def test_one_image_of_one_class_scores_as_by_definition(top: int, left: int, side: int) -> None:
    found, truth = square(top, left, side), square(6, 6)
    a, b = found[0, 0].numpy() > 0, truth[0, 0].numpy() > 0
    dice = 2 * (a & b).sum() / (a.sum() + b.sum())
    scores = case_scores(found, truth, torch.zeros(1, dtype=torch.int64), 1, SPACING)
    assert scores == pytest.approx(np.array([[dice, *distances(a, b)]]), rel=1e-6, abs=1e-6)


def test_a_case_is_all_images_of_a_patient() -> None:
    found = torch.cat([square(0, 0), square(0, 0), square(0, 0, 2)])
    truth = torch.cat([square(0, 0), square(0, 3), square(0, 0, 2)])
    scores = case_scores(found, truth, torch.tensor([5, 5, 7]), 1, SPACING)
    # 36 of 36 and 18 of 36 pixels met: one Dice of both images, which is not their mean.
    assert scores[0, 0] == pytest.approx(2 * (36 + 18) / (72 + 72))
    alone = case_scores(found[1:2], truth[1:2], torch.tensor([5]), 1, SPACING)
    assert scores[0, 1:] == pytest.approx((alone[0, 1:] + [0, 1]) / 2)
    assert scores[1].tolist() == [1, 0, 1]


def test_both_empty_agree_and_do_not_dilute() -> None:
    nothing = torch.zeros(1, 1, 24, 24, dtype=torch.uint8)
    assert case_scores(nothing, nothing, torch.zeros(1), 1, SPACING).tolist() == [[1, 0, 1]]
    with_empty = case_scores(
        torch.cat([square(0, 0), nothing]), torch.cat([square(0, 4), nothing]), torch.zeros(2), 1, SPACING
    )
    without = case_scores(square(0, 0), square(0, 4), torch.zeros(1), 1, SPACING)
    assert with_empty == pytest.approx(without)


@pytest.mark.parametrize("missed", [True, False])
def test_one_empty_counts_as_the_worst(missed: bool) -> None:
    nothing, something = torch.zeros(1, 1, 24, 24, dtype=torch.uint8), square(3, 3)
    pair = (nothing, something) if missed else (something, nothing)
    assert case_scores(*pair, torch.zeros(1), 1, SPACING) == pytest.approx(
        np.array([[0, math.hypot(24 * 2.0, 24 * 1.0), 0]])
    )


def test_classes_count_alike_and_higher_values_as_none() -> None:
    truth = torch.maximum(square(0, 0, 10), square(14, 14, 4, value=2))
    found = torch.maximum(square(0, 0, 10), square(14, 14, 4, value=3))
    scores = case_scores(found, truth, torch.zeros(1), 2)
    assert scores[0, 0] == pytest.approx((1 + 0) / 2)
    assert scores[0, 1] == pytest.approx((0 + math.hypot(24, 24)) / 2)


def test_volumes_are_compared_whole() -> None:
    truth = torch.zeros(1, 1, 16, 16, 16, dtype=torch.uint8)
    truth[..., 4:10, 4:10, 4:10] = 1
    found = truth.roll(1, dims=2)
    scores = case_scores(found, truth, torch.zeros(1), 1, (3.0, 1.0, 1.0))
    assert scores[0, 0] == pytest.approx(5 / 6)
    assert scores[0, 1] == pytest.approx(3.0)
