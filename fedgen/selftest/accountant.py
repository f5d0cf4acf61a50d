"""Checks of the accountant against RDP and against mechanisms whose epsilon is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import brentq
from scipy.stats import norm

from fedgen.selftest.finding import SHARED, CheckResult, at_least, at_most
from fedgen.selftest.subject import Subject
from fedgen_privacy.accounting import Spend

DELTA = 1e-5
#: A large site, a small one, and few noisy steps: sampling rate, noise multiplier and steps of each.
HISTORIES = (Spend(0.9, 0.01, 2000), Spend(4.0, 0.1, 1000), Spend(1.5, 0.05, 50))


def order(subject: Subject) -> CheckResult:
    """PRV is the tighter of two upper bounds."""
    ratio = max(subject.epsilon([spend], DELTA) / subject.epsilon_rdp([spend], DELTA) for spend in HISTORIES)
    sentence = "largest ratio of the PRV epsilon to the RDP epsilon, both of them upper bounds"
    return at_most("PRV <= RDP", SHARED, ratio, 1.0, sentence)


def not_below_the_truth(subject: Subject) -> CheckResult:
    """Epsilon is not below the exact one where that is known: no subsampling, or a single step."""
    exact = (
        (Spend(3.0, 1.0, 1), _epsilon(lambda eps: _gaussian_delta(eps, 1 / 3.0))),
        (Spend(8.0, 1.0, 16), _epsilon(lambda eps: _gaussian_delta(eps, math.sqrt(16) / 8.0))),
        (Spend(1.0, 0.1, 1), _epsilon(lambda eps: _subsampled_delta(eps, 1.0, 0.1))),
    )
    ratio = min(
        accountant([spend], DELTA) / truth
        for spend, truth in exact
        for accountant in (subject.epsilon, subject.epsilon_rdp)
    )
    sentence = (
        "smallest ratio of a stated epsilon to the exact one (Balle and Wang 2018), where that is known"
    )
    return at_least("epsilon not below the truth", SHARED, ratio, 1.0, sentence)


def _epsilon(delta_of: Callable[[float], float]) -> float:
    """The epsilon at which `delta_of` falls to DELTA."""
    return float(brentq(lambda eps: delta_of(eps) - DELTA, 1e-9, 50.0, xtol=1e-12))


def _gaussian_delta(epsilon: float, mu: float) -> float:
    """delta of the Gaussian mechanism of sensitivity mu and noise 1 (Balle and Wang 2018, theorem 8)."""
    return float(norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu))


def _subsampled_delta(epsilon: float, sigma: float, q: float) -> float:
    """delta of one Poisson-subsampled step when the patient is removed: (1-q) N(0, s^2) + q N(1, s^2) to N(0, s^2).

    The likelihood ratio exceeds e^epsilon beyond one point x, so the hockey-stick integral is a sum of tails.
    """
    x = sigma**2 * math.log((math.exp(epsilon) - 1 + q) / q) + 0.5
    absent, present = float(norm.sf(x / sigma)), float(norm.sf((x - 1) / sigma))
    return (1 - q) * absent + q * present - math.exp(epsilon) * absent
