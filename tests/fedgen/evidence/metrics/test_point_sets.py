"""Measures of two sets of points against independent references, closed forms and naive loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance
from sklearn.metrics.pairwise import polynomial_kernel as sklearn_polynomial
from sklearn.metrics.pairwise import rbf_kernel as sklearn_rbf
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from fedgen.evidence.metrics.feature_moments import FeatureMoments, frechet
from fedgen.evidence.metrics.point_sets import (
    BANDWIDTHS,
    classifier_auroc,
    directions,
    mmd,
    mmd_p,
    nearest_neighbour_accuracy,
    polynomial_kernel,
    precision_recall_density_coverage,
    rbf_kernel,
    sliced_wasserstein,
    squared_distances,
)

Array = NDArray[np.float64]


def two_sets(n: int, d: int = 4, shift: float = 0.5, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(n, d)) * 1.2 + shift


def together(x: Array, y: Array) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    return np.concatenate([x, y]), np.arange(len(x)), np.arange(len(x), len(x) + len(y))


class _Given(torch.nn.Module):
    num_features = 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_the_frechet_distance_is_that_of_heusel_and_of_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 8)), rng.normal(size=(150, 8)) @ rng.normal(size=(8, 8)) + 0.5
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    found = frechet(FeatureMoments.of(x), FeatureMoments.of(y))
    assert found == pytest.approx(expected, rel=1e-9)
    library = FrechetInceptionDistance(feature=_Given(), normalize=True).set_dtype(torch.float64)
    library.update(torch.tensor(x), real=True)
    library.update(torch.tensor(y), real=False)
    assert found == pytest.approx(float(library.compute()), rel=1e-6)


def test_the_frechet_distance_of_two_gaussians_is_the_closed_form() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40_000, 3)) * [1, 2, 3]
    y = rng.normal(size=(40_000, 3)) * [2, 2, 1] + [1, 0, 0]
    assert frechet(FeatureMoments.of(x), FeatureMoments.of(y)) == pytest.approx(1 + 1 + 0 + 4, rel=0.03)


def test_the_frechet_distance_of_a_set_with_itself_is_zero_even_where_ill_conditioned() -> None:
    x = np.random.default_rng(0).normal(size=(20, 60))
    assert frechet(FeatureMoments.of(x), FeatureMoments.of(x)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("sites", [2, 5])
def test_sums_of_sites_give_the_distance_of_all_images(sites: int) -> None:
    rng = np.random.default_rng(sites)
    real = [rng.normal(size=(int(n), 6)) + 0.3 * k for k, n in enumerate(rng.integers(3, 30, sites))]
    made = FeatureMoments.of(rng.normal(size=(50, 6)))
    summed = FeatureMoments.of(real[0])
    for each in real[1:]:
        # As it would travel: packed, and unpacked elsewhere.
        own = FeatureMoments.of(each)
        summed = summed + FeatureMoments.unpacked(own.n, own.packed())
    pooled = FeatureMoments.of(np.concatenate(real))
    assert frechet(summed, made) == pytest.approx(frechet(pooled, made), rel=1e-10)
    assert summed.covariance == pytest.approx(np.cov(np.concatenate(real), rowvar=False))


def test_numbers_of_no_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match="no dimension"):
        FeatureMoments.unpacked(5, np.zeros(4))


def test_kid_is_that_of_torchmetrics() -> None:
    x, y = two_sets(15)
    points, i, j = together(x, y)
    assert polynomial_kernel(points) == pytest.approx(
        sklearn_polynomial(points, degree=3, gamma=1 / 4, coef0=1)
    )
    expected = float(poly_mmd(torch.tensor(x), torch.tensor(y)))
    assert mmd(polynomial_kernel(points), i, j) == pytest.approx(expected, rel=1e-9)


def test_mmd_is_a_loop_over_pairs_of_different_points() -> None:
    x, y = two_sets(7)
    points, i, j = together(x, y[:5])
    kernel = rbf_kernel(squared_distances(points, points), 1.7)
    expected = np.mean([sklearn_rbf(points, gamma=1 / (2 * (s * 1.7) ** 2)) for s in BANDWIDTHS], axis=0)
    assert kernel == pytest.approx(expected)
    within = sum(kernel[a, b] for a in i for b in i if a != b) / 42
    within += sum(kernel[a, b] for a in j for b in j if a != b) / 20
    across = sum(kernel[a, b] for a in i for b in j) / 35
    assert mmd(kernel, i, j) == pytest.approx(within - 2 * across)


def test_the_permutation_test_of_mmd_is_exact_under_the_null_and_finds_a_shift() -> None:
    ps = []
    for seed in range(100):
        points, i, j = together(*two_sets(12, shift=0, seed=seed))
        points[12:] /= 1.2
        kernel = rbf_kernel(squared_distances(points, points), 2.0)
        ps.append(mmd_p(kernel, i, j, 19, seed))
    # Each p is k/20, uniform: at most 0.2 in 20 of 100 runs on average; a bound that luck breaks once in 100 000.
    assert 5 <= sum(p <= 0.2 for p in ps) <= 39
    points, i, j = together(*two_sets(12, shift=3))
    assert mmd_p(rbf_kernel(squared_distances(points, points), 2.0), i, j, 19, 0) == 1 / 20


def test_the_sliced_distance_is_the_mean_of_scipys_along_the_directions() -> None:
    x, y = two_sets(30)
    along = directions(4, seed=3)
    assert np.linalg.norm(along, axis=0) == pytest.approx(1)
    expected = np.mean([wasserstein_distance(x @ v, y @ v) for v in along.T])
    assert sliced_wasserstein(x @ along, y @ along) == pytest.approx(expected)
    # Of a shift it is how far the shift reaches along a direction, whatever the points are.
    shift = np.array([1.0, -2.0, 0.5, 0.0])
    assert sliced_wasserstein(x @ along, (x + shift) @ along) == pytest.approx(np.abs(shift @ along).mean())


def test_nearest_neighbours_are_those_of_scikit_learn_where_nobody_has_two_images() -> None:
    x, y = two_sets(25)
    points, i, j = together(x, y)
    label = np.arange(50) < 25
    expected = cross_val_score(KNeighborsClassifier(1), points, label, cv=LeaveOneOut()).mean()
    found = nearest_neighbour_accuracy(squared_distances(points, points), np.arange(50), i, j)
    assert found == pytest.approx(expected)


def test_images_of_one_patient_do_not_find_each_other() -> None:
    x, y = two_sets(20, shift=0, seed=4)
    x = np.repeat(x[:10], 2, axis=0) + 1e-3 * x
    points, i, j = together(x, y)
    alone, owned = np.arange(40), np.concatenate([np.arange(20) // 2, np.arange(20, 40)])
    squares = squared_distances(points, points)
    assert nearest_neighbour_accuracy(squares, alone, i, j) > 0.7
    assert nearest_neighbour_accuracy(squares, owned, i, j) < 0.7


def test_copies_are_nearer_to_the_other_set_than_to_their_own() -> None:
    x, _ = two_sets(30)
    points, i, j = together(x, x + 1e-4)
    assert nearest_neighbour_accuracy(squared_distances(points, points), np.arange(60), i, j) == 0


def test_precision_recall_density_and_coverage_are_loops_over_balls() -> None:
    x, y = two_sets(20, shift=1)
    points, i, j = together(x, y[:15])
    k = 3

    def radius(own: Array, at: int) -> float:
        return float(np.sort(np.linalg.norm(own - own[at], axis=1))[k])

    y = y[:15]
    real = [radius(x, a) for a in range(20)]
    made = [radius(y, b) for b in range(15)]
    near = np.linalg.norm(x[:, None] - y[None], axis=2)
    inside = np.array([[near[a, b] <= real[a] for b in range(15)] for a in range(20)])
    around = np.array([[near[a, b] <= made[b] for b in range(15)] for a in range(20)])
    found = precision_recall_density_coverage(squared_distances(points, points), np.arange(35), i, j, k)
    assert found["precision"] == pytest.approx(inside.any(0).mean())
    assert found["recall"] == pytest.approx(around.any(1).mean())
    assert found["density"] == pytest.approx(inside.sum() / (k * 15))
    assert found["coverage"] == pytest.approx(inside.any(1).mean())


def test_a_generator_of_one_image_has_precision_and_no_recall() -> None:
    x, _ = two_sets(40)
    rng = np.random.default_rng(0)
    points, i, j = together(x, x.mean(0) + 1e-3 * rng.normal(size=(40, 4)))
    found = precision_recall_density_coverage(squared_distances(points, points), np.arange(80), i, j)
    assert found["precision"] == 1 and found["recall"] == 0 and found["coverage"] < 0.6


def test_the_classifier_is_at_chance_on_equal_sets_and_finds_a_shift() -> None:
    null = [
        classifier_auroc(*_with_owners(np.random.default_rng(seed).normal(size=(80, 4))))
        for seed in range(10)
    ]
    assert np.mean(null) == pytest.approx(0.5, abs=0.07)
    x, y = two_sets(40, shift=2)
    assert classifier_auroc(*_with_owners(np.concatenate([x, y]))) > 0.95


def _with_owners(
    points: Array,
) -> tuple[Array, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    half = len(points) // 2
    return points, np.arange(len(points)), np.arange(half), np.arange(half, len(points))


def test_a_patients_images_do_not_teach_the_classifier_about_each_other() -> None:
    """Each patient of either set lies somewhere else; who has seen some of her images knows the others."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(16, 60)), 5, axis=0)
    points = centres + 0.05 * rng.normal(size=centres.shape)
    i, j = np.arange(40), np.arange(40, 80)
    seen = classifier_auroc(points, rng.permutation(80), i, j)
    assert seen > 0.95
    assert classifier_auroc(points, np.arange(80) // 5, i, j) < 0.8


def test_kernels_are_their_formulas() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 3))
    squares = squared_distances(x, x)
    naive = np.mean([np.exp(-squares / (2 * (s * 1.7) ** 2)) for s in (0.25, 0.5, 1, 2, 4)], axis=0)
    np.testing.assert_allclose(rbf_kernel(squares, 1.7), naive, rtol=1e-12, atol=1e-300)
    # Far points' kernels are zero, and not a number that is none.
    assert rbf_kernel(np.array([[1e6]]), 1.0) == 0
    np.testing.assert_allclose(polynomial_kernel(x), (x @ x.T / 3 + 1) ** 3, rtol=1e-12)
