"""Checks of who is in a batch: Poisson sampling at the rate that is accounted, one contribution each."""

from __future__ import annotations

import torch
from scipy.stats import binom, binomtest
from torch import Tensor

from fedgen.selftest.finding import SHARED, CheckResult, at_least, at_most
from fedgen.selftest.probe import ProbeSetting, released
from fedgen.selftest.subject import Subject
from fedgen_privacy.statistics.multiplicity import worse_of
from fedgen_privacy.step import LOSS_SHARE

#: Probability that a right sampler fails: a share of the self-test's one in a million.
FALSE_ALARM = 3e-7
N, T, Q, B, C = 200, 200, 0.3, 60, 0.5
#: Relative error of one patient's part in float32.
SINGLE = 1e-5


def _setting(*, steps: int, images: int, objectives: int = 1) -> ProbeSetting:
    return ProbeSetting(
        side=16,
        images=images,
        steps=steps,
        batch=B,
        sampling_rate=Q,
        clipping_norm=C,
        # So little that a patient's part can be read; the two checks here are not about noise.
        noise_multiplier=1e-7,
        present=torch.arange(N),
        objectives=objectives,
    )


def contribution(subject: Subject) -> CheckResult:
    """In every step each patient's part is nothing, or one clipped gradient over the public B."""
    parts = released(subject, _setting(steps=20, images=2))[:, :N] / (C * (1 - LOSS_SHARE**2) ** 0.5)
    worst = float(torch.minimum(parts.abs(), (parts - 1).abs()).max())
    sentence = (
        "largest distance of a patient's part in a step from 0 and from 1 clipped gradient, over all steps"
    )
    return at_most("one part a patient and step", SHARED, worst, SINGLE, sentence)


def joint_contribution(subject: Subject) -> CheckResult:
    """The parts that a patient has in the steps of two objectives are one vector, clipped once."""
    parts = released(subject, _setting(steps=10, images=2, objectives=2)).unflatten(1, (2, -1))[:, :, :N]
    norms = parts.norm(dim=1) / (C * (1 - LOSS_SHARE**2) ** 0.5)
    sentence = "largest norm of a patient's parts in a step of two objectives together, in clipping norms of a gradient"
    return at_most("one clip of all objectives", SHARED, float(norms.max()), 1 + SINGLE, sentence)


def sampling(subject: Subject) -> CheckResult:
    """Each patient is in each batch independently with probability q: exact binomial tests.

    Tested: the overall rate; each patient's rate; how often two patients are in one batch together and one patient
    in two batches in a row (disjoint pairs); how often the batch has about its expected size. Shuffling has the right
    rate and fails the last two.
    """
    inside = released(subject, _setting(steps=T, images=1))[:, :N] > 0.5 * C
    patients = inside.sum(dim=0)
    together = inside[:, 0::2] & inside[:, 1::2]
    again = inside[0::2] & inside[1::2]
    p = worse_of(
        _p(inside, Q),
        min(1.0, N * min(_binomial(int(k), T, Q) for k in patients.tolist())),
        _p(together, Q**2),
        _p(again, Q**2),
        _batch_sizes(inside.sum(dim=1)),
    )
    sentence = f"p-value of {T} batches of {N} patients under Poisson sampling at the accounted rate {Q:g}"
    return at_least("Poisson sampling", SHARED, p, FALSE_ALARM, sentence)


def _p(events: Tensor, rate: float) -> float:
    return _binomial(int(events.sum()), events.numel(), rate)


def _binomial(successes: int, trials: int, rate: float) -> float:
    return float(binomtest(successes, trials, rate).pvalue)


def _batch_sizes(sizes: Tensor) -> float:
    """How many batches have a size within 4 of its mean: binomial, whatever the variance of the sizes."""
    near = int(((sizes - N * Q).abs() <= 4).sum())
    rate = float(binom.cdf(N * Q + 4, N, Q) - binom.cdf(N * Q - 5, N, Q))
    return _binomial(near, len(sizes), rate)
