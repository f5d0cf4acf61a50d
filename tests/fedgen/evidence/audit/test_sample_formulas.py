"""Every formula of an audit of samples against a loop that says it again, or against another library."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.neighbors import KernelDensity

from fedgen.evidence.audit.authenticity import unauthentic
from fedgen.evidence.audit.density_ratio import WIDTH, log_ratio
from fedgen.evidence.audit.likelihood_gap import FLOOR, fitted_variances, log_likelihood
from fedgen.evidence.audit.monte_carlo import QUANTILE, radius
from fedgen.evidence.audit.spaces import squared_distances
from fedgen_privacy.statistics.patients import exchanged


def points(n, d, seed):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d))).float()


PATIENTS = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 5, 5])


def test_distances_are_those_of_a_loop_and_of_a_copy_none():
    a, b = points(7, 5, 0), points(9, 5, 1)
    b[3] = a[2]
    found = squared_distances(a, b)
    for i in range(7):
        for j in range(9):
            assert float(found[i, j]) == pytest.approx(
                float((a[i].double() - b[j].double()).square().sum()), abs=1e-9
            )
    assert float(found[2, 3]) < 1e-12


def test_the_ball_holds_the_promised_share_of_held_out_patients():
    to_synthetic = torch.from_numpy(np.random.default_rng(0).gamma(2, size=(10, 30)))
    nearest = {}
    for image, patient in enumerate(PATIENTS.tolist()):
        nearest[patient] = min(nearest.get(patient, math.inf), min(to_synthetic[image].tolist()))
    expected = sorted(nearest.values())[max(1, math.ceil(QUANTILE * 6)) - 1]
    assert radius(to_synthetic, PATIENTS) == expected
    assert sum(distance <= expected for distance in nearest.values()) == 1


def test_the_density_ratio_is_that_of_kernel_densities_without_the_patient():
    real, synthetic = points(10, 3, 2), points(12, 3, 3)
    nearest = []
    for i in range(10):
        others = [
            float((real[i].double() - real[j].double()).norm())
            for j in range(10)
            if PATIENTS[i] != PATIENTS[j]
        ]
        nearest.append(min(others))
    found = log_ratio(real, PATIENTS, synthetic)
    for i in range(10):
        width = WIDTH * nearest[i]
        of_release = KernelDensity(bandwidth=width).fit(synthetic.double().numpy())
        others = KernelDensity(bandwidth=width).fit(real[PATIENTS[i] != PATIENTS].double().numpy())
        point = real[i : i + 1].double().numpy()
        expected = of_release.score_samples(point)[0] - others.score_samples(point)[0]
        assert float(found[i]) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_the_density_ratio_of_equal_images_is_0():
    assert log_ratio(torch.ones(10, 3), PATIENTS, torch.ones(4, 3)).tolist() == [0] * 10
    assert log_ratio(points(3, 2, 0), torch.zeros(3), points(4, 2, 1)).tolist() == [0] * 3


def test_authenticity_is_that_of_a_loop():
    real, synthetic = points(10, 3, 4), points(40, 3, 5)
    synthetic[0] = real[6] + 1e-3
    found, nearest = unauthentic(synthetic, real, PATIENTS)
    assert bool(found[0])
    for j in range(40):
        to_real = [float((synthetic[j].double() - x.double()).norm()) for x in real]
        i = int(np.argmin(to_real))
        fellows = [
            float((real[i].double() - real[k].double()).norm())
            for k in range(10)
            if PATIENTS[k] != PATIENTS[i]
        ]
        assert int(nearest[j]) == i
        assert bool(found[j]) == (to_real[i] < min(fellows))


def test_the_likelihood_is_that_of_the_mixture():
    real, synthetic = points(6, 4, 6), points(5, 4, 7)
    variances = torch.tensor([0.5, 1.0, 2.0, 0.1, 3.0], dtype=torch.float64)
    found = log_likelihood(squared_distances(real, synthetic), variances, 4)
    for i in range(6):
        density = np.mean(
            [
                multivariate_normal(synthetic[j].double().numpy(), float(variances[j]) * np.eye(4)).pdf(
                    real[i].double().numpy()
                )
                for j in range(5)
            ]
        )
        assert float(found[i]) == pytest.approx(math.log(density), rel=1e-6)


def test_the_fitted_variances_are_the_most_likely_ones():
    squares = squared_distances(points(30, 3, 8), points(4, 3, 9))

    def loss(logs):
        return -float(log_likelihood(squares, torch.from_numpy(np.exp(logs)), 3).mean())

    best = minimize(loss, np.zeros(4), method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-12})
    found = fitted_variances(squares, 3, steps=400)
    assert -float(log_likelihood(squares, found, 3).mean()) == pytest.approx(best.fun, abs=1e-4)


def test_the_likelihood_rises_with_every_step_and_a_copy_stays_finite():
    real, synthetic = points(30, 3, 10), points(6, 3, 11)
    synthetic[2] = real[4]
    squares = squared_distances(real, synthetic)
    means = [float(log_likelihood(squares, fitted_variances(squares, 3, n), 3).mean()) for n in range(12)]
    assert all(after >= before - 1e-9 for before, after in pairwise(means))
    start = float(squares.amin(1).median()) / 3
    assert float(fitted_variances(squares, 3).min()) >= FLOOR * start


def test_exchanged_patients_are_counted_as_a_loop_counts_them():
    owners = np.array([0, 0, 0, 1, 2, 7])
    share, expected, p = exchanged(owners, owners < 4, 4, 4, 4000, np.random.default_rng(0))
    assert (share, expected) == (5 / 6, 0.5)
    # Exact: how many of the 70 choices of 4 held-out among 8 patients draw at most the 1 image that was drawn.
    images = [3, 1, 1, 0, 0, 0, 0, 1]
    exact = np.mean([sum(images[i] for i in chosen) <= 1 for chosen in combinations(range(8), 4)])
    assert p == pytest.approx(exact, abs=0.03)


def test_without_an_image_nothing_is_exchanged():
    assert exchanged(np.array([], dtype=np.int64), np.array([], dtype=bool), 1, 3, 10, np.random.default_rng(0)) == (
        None, 0.25, 1.0,
    )  # fmt: skip
