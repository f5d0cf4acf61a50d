"""ECE and Brier score against torchmetrics and scikit-learn, and what a control that knows nothing reaches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from fedgen.evidence.downstream.calibration import BINS, weighted_brier, weighted_ece


def opinions(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, n), rng.dirichlet(np.ones(classes), n)


@pytest.mark.parametrize("classes", [2, 4])
def test_ece_is_that_of_torchmetrics(classes: int) -> None:
    labels, p = opinions(300, classes, seed=classes)
    expected = multiclass_calibration_error(torch.tensor(p), torch.tensor(labels), classes, n_bins=BINS)
    assert weighted_ece(labels, p, np.ones((1, 300)))[0] == pytest.approx(float(expected), abs=1e-6)


def test_brier_is_that_of_scikit_learn() -> None:
    labels, p = opinions(200, 2, seed=0)
    # scikit-learn's is of one class of two, which is half of it.
    expected = 2 * brier_score_loss(labels, p[:, 1])
    assert weighted_brier(labels, p, np.ones((1, 200)))[0] == pytest.approx(expected)


def test_a_weight_is_a_repetition() -> None:
    labels, p = opinions(40, 3, seed=1)
    weights = np.random.default_rng(2).integers(0, 4, (5, 40)).astype(float)
    for score in (weighted_ece, weighted_brier):
        for weight, found in zip(weights, score(labels, p, weights), strict=True):
            rows = np.repeat(np.arange(40), weight.astype(int))
            assert found == pytest.approx(score(labels[rows], p[rows], np.ones((1, len(rows))))[0])


def test_who_tells_the_shares_is_calibrated_and_knows_nothing() -> None:
    labels = np.repeat([0, 1], [70, 30])
    p = np.tile([0.7, 0.3], (100, 1))
    assert weighted_ece(labels, p, np.ones((1, 100)))[0] == pytest.approx(0)
    assert weighted_brier(labels, p, np.ones((1, 100)))[0] == pytest.approx(2 * 0.21)
