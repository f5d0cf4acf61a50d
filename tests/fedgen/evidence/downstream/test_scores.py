"""Weighted scores against scikit-learn, and the patient bootstrap's coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from fedgen.evidence.downstream.bootstrap import percentile_interval, replicate_weights
from fedgen.evidence.downstream.scores import (
    auroc,
    weighted_auroc,
    weighted_auroc_within,
    weighted_balanced_accuracy,
)


def case(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with every class, probabilities with many ties, integer weights that leave no class empty."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=25)])
    probabilities = rng.integers(1, 5, size=(len(labels), classes)).astype(float)
    weights = rng.integers(0, 4, size=(3, len(labels))).astype(float)
    weights[:, :classes] += 1
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True), weights


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 4))
def test_weighted_scores_are_scikit_learns(seed: int, classes: int) -> None:
    labels, probabilities, weights = case(seed, classes)
    areas = weighted_auroc(labels, probabilities, weights)
    accuracies = weighted_balanced_accuracy(labels, probabilities, weights)
    for row, w in enumerate(weights):
        expected = np.mean(
            [roc_auc_score(labels == c, probabilities[:, c], sample_weight=w) for c in range(classes)]
        )
        assert areas[row] == pytest.approx(expected, abs=1e-12)
        predicted = probabilities.argmax(axis=1)
        expected = balanced_accuracy_score(labels, predicted, sample_weight=w)
        assert accuracies[row] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_point_values_are_the_weighted_ones_with_equal_weights(classes: int) -> None:
    labels, probabilities, _ = case(7, classes)
    ones = np.ones((1, len(labels)))
    assert auroc(labels, probabilities) == pytest.approx(weighted_auroc(labels, probabilities, ones)[0])
    if classes == 3:
        assert auroc(labels, probabilities) == pytest.approx(
            roc_auc_score(labels, probabilities, multi_class="ovr")
        )


def test_two_classes_give_the_usual_auroc() -> None:
    labels, probabilities, _ = case(3, 2)
    assert auroc(labels, probabilities) == pytest.approx(roc_auc_score(labels, probabilities[:, 1]))


def test_replicates_draw_whole_patients_and_keep_strata() -> None:
    patients = np.array([5, 5, 7, 7, 7, 9, 9, 11, 13])
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])
    weights = replicate_weights(patients, labels, 200, seed=0)
    assert weights.shape == (200, 9)
    for patient in np.unique(patients):
        own = weights[:, patients == patient]
        assert (own == own[:, :1]).all()
    first = weights[:, [0, 2, 5, 7, 8]]  # one column a patient
    assert (first[:, :2].sum(axis=1) == 2).all() and (first[:, 2:].sum(axis=1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 10


def test_a_patient_with_images_of_two_classes_is_its_own_stratum() -> None:
    patients, labels = np.array([0, 0, 1, 2, 3, 4]), np.array([0, 1, 0, 0, 1, 1])
    weights = replicate_weights(patients, labels, 50, seed=0)
    assert (weights[:, :2] == 1).all()


def correlated(rng: np.random.Generator, patients: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Values of `each` images of every patient: mean 0, within-patient correlation 0.9."""
    values = rng.normal(size=(patients, 1)) * 0.9**0.5 + rng.normal(size=(patients, each)) * 0.1**0.5
    return np.repeat(np.arange(patients), each), values.ravel()


def interval(patients: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    weights = replicate_weights(patients, np.zeros(len(values), dtype=np.int64), 300, seed=0)
    return percentile_interval(weights @ values / weights.sum(axis=1))


def test_intervals_cover_the_truth() -> None:
    """200 samples of 50 patients: nominal coverage 95 %, the percentile interval's own here 93 % at least.

    The threshold lets a correct interval fail with probability 1e-4; drawing images must fall below it.
    """
    rng = np.random.default_rng(11)
    trials = [correlated(rng, 50, 8) for _ in range(200)]
    least = binom.ppf(1e-4, len(trials), 0.93)
    by_patient = sum(low <= 0 <= high for low, high in (interval(p, v) for p, v in trials))
    by_image = (
        sum(low <= 0 <= high for low, high in (interval(np.arange(len(v)), v) for _, v in trials[:50])) * 4
    )
    assert by_patient >= least > by_image


def test_correlated_images_widen_the_interval() -> None:
    patients, values = correlated(np.random.default_rng(2), 40, 10)
    low, high = interval(patients, values)
    naive_low, naive_high = interval(np.arange(len(values)), values)
    # The design effect is 1 + (10 - 1) * 0.9 = 9.1 in variance, 3.0 in width.
    assert (high - low) / (naive_high - naive_low) == pytest.approx(3.0, rel=0.25)


def test_auroc_within_strata_counts_pairs_of_a_stratum_alone() -> None:
    rng = np.random.default_rng(3)
    labels, strata = rng.integers(2, size=40), np.repeat([0, 1, 2, 3], 10)
    labels[strata == 3] = 1
    scores = rng.integers(5, size=40) / 5 + strata
    probabilities = np.stack([1 - scores, scores], axis=1)
    weights = rng.integers(1, 4, size=(2, 40)).astype(float)
    won = total = np.zeros(2)
    for i, j in ((i, j) for i in range(40) for j in range(40) if labels[i] == 1 and labels[j] == 0):
        if strata[i] == strata[j]:
            pair = weights[:, i] * weights[:, j]
            won = won + pair * ((scores[i] > scores[j]) + (scores[i] == scores[j]) / 2)
            total = total + pair
    assert weighted_auroc_within(labels, probabilities, weights, strata) == pytest.approx(won / total)
    one = weighted_auroc_within(labels, probabilities, weights, np.zeros(40))
    assert one == pytest.approx(weighted_auroc(labels, probabilities, weights))


def test_without_a_pair_there_is_no_auroc_within() -> None:
    found = weighted_auroc_within(np.array([0, 1]), np.eye(2), np.ones((1, 2)), np.array([0, 1]))
    assert np.isnan(found).all()
    assert percentile_interval(np.array([0.1, np.nan, 0.1])) == (0.1, 0.1)
