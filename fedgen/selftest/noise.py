"""Check of the noise: Gaussian of standard deviation sigma C in every coordinate, fresh every time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import chi2, norm, pearsonr
from torch import Tensor

from fedgen.selftest.finding import SHARED, CheckResult, at_least
from fedgen.selftest.probe import ProbeSetting, released
from fedgen.selftest.subject import Subject
from fedgen_privacy.gradients.protocol import Batch, Params
from fedgen_privacy.gradients.vmap import vmapped
from fedgen_privacy.statistics.multiplicity import worse_of

#: Probability that right noise fails: a share of the self-test's one in a million, as in the other statistical checks.
FALSE_ALARM = 3e-7
PATIENTS, SIDE, STEPS = 16, 16, 128
C, SIGMA = 0.7, 1.3
#: Reports of the loss that are looked at.
REPORTS = 400

Array = npt.NDArray[np.float64]


def noise(subject: Subject) -> CheckResult:
    """The trainer's noise, in coordinates that no patient touches, and the noise of the reported loss.

    Every test is exact for independent standard normal numbers, or a bound: chi-square of all squares, of each
    coordinate's and of the sums over coordinates and over steps (noise shared between coordinates or kept from step
    to step fails there); the correlation between neighbouring coordinates, steps in a row, and two runs; the
    distribution function (Dvoretzky, Kiefer and Wolfowitz 1956 with the constant of Massart 1990).
    """
    z, other = _standardised(subject), _standardised(subject)
    loss = _loss_reports(subject)
    p = worse_of(
        squares(z),
        min(1.0, z.shape[1] * min(squares(column) for column in z.T)),
        squares(z.sum(axis=0) / math.sqrt(z.shape[0])),
        squares(z.sum(axis=1) / math.sqrt(z.shape[1])),
        _correlation(z[0::2], z[1::2]),
        _correlation(z[:, 0::2], z[:, 1::2]),
        _correlation(z, other),
        _distribution(z),
        squares(loss),
        _correlation(loss[:, 0], loss[:, 1]),
    )
    sentence = (
        f"p-value of {z.size} coordinates of noise under independent Gaussians of standard deviation sigma C"
    )
    return at_least("noise", SHARED, p, FALSE_ALARM, sentence)


def _standardised(subject: Subject) -> Array:
    """(steps, untouched coordinates), standard normal if the noise is right."""
    setting = ProbeSetting(
        side=SIDE,
        images=1,
        steps=STEPS,
        batch=5,
        sampling_rate=0.3,
        clipping_norm=C,
        noise_multiplier=SIGMA,
        present=torch.arange(PATIENTS),
    )
    free = released(subject, setting)[:, PATIENTS:] / (SIGMA * C)
    return np.asarray(free.numpy(), dtype=np.float64)


def _loss_reports(subject: Subject) -> Array:
    """(REPORTS, 2) losses of two objectives, reported for empty batches, in units of their standard deviations."""
    step = subject.step(
        clipping_norm=C, noise_multiplier=SIGMA, expected_batch=5.0, loss_bounds=(1.0, 3.0), chunk=1
    )
    random = subject.random()
    reports = [step(vmapped(_no_loss), {"w": torch.zeros(1)}, None, random) for _ in range(REPORTS)]
    return np.array([np.divide(report.losses, report.loss_stds) for report in reports])


def _no_loss(params: Params, record: Batch) -> Tensor:
    return params["w"].sum()


def squares(z: Array) -> float:
    """Two-sided p-value of the sum of squares."""
    statistic, n = float(np.square(z).sum()), z.size
    return min(1.0, 2 * min(float(chi2.cdf(statistic, n)), float(chi2.sf(statistic, n))))


def _correlation(a: Array, b: Array) -> float:
    return float(pearsonr(a.ravel(), b.ravel()).pvalue)


def _distribution(z: Array) -> float:
    n = z.size
    expected = norm.cdf(np.sort(z.ravel()))
    ranks = np.arange(n)
    distance = max(float((expected - ranks / n).max()), float(((ranks + 1) / n - expected).max()))
    return min(1.0, 2 * math.exp(-2 * n * distance**2))
