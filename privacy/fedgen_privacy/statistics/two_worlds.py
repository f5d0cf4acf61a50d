"""What an attacker's guesses prove of a Gaussian mechanism, run many times with and without one record.

A coin decides before each run whether the record is in, and the attacker guesses. Of a mechanism that is mu-Gaussian-
private (Dong, Roth and Su 2022) every guess is wrong with a probability of at least Phi(-mu / 2), so that an upper
limit of that probability gives a lower limit of mu, and mu gives epsilon (Balle and Wang 2018, theorem 8). The idea is
Nasr et al. (2023): hundreds of runs suffice where a bound that assumes no form needs thousands. It may be made of a
mechanism that CLAIMS to be a Gaussian one, whose claim it then refutes or does not.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.stats import norm

from fedgen_privacy.statistics.proportions import clopper_pearson


def gaussian_delta(epsilon: float, mu: float) -> float:
    """The delta at which a mu-Gaussian-private mechanism is (epsilon, delta)-private (Balle and Wang 2018).

    Raises:
        ValueError: epsilon is negative or mu is not above 0.
    """
    if not (epsilon >= 0 and mu > 0):
        raise ValueError(f"epsilon {epsilon:g} must not be negative, and mu {mu:g} must be above 0")
    # By logarithms: e^epsilon alone overflows where the product is small.
    second = math.exp(epsilon + float(norm.logcdf(-mu / 2 - epsilon / mu)))
    return float(norm.cdf(mu / 2 - epsilon / mu)) - second


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The least epsilon at which a mu-Gaussian-private mechanism is (epsilon, delta)-private; 0 for mu <= 0.

    Raises:
        ValueError: delta is outside (0, 1).
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta {delta:g} is outside (0, 1)")
    if mu <= 0 or gaussian_delta(0.0, mu) <= delta:
        return 0.0
    # Far out the first term alone is delta already.
    highest = mu * mu / 2 + mu * max(0.0, float(norm.isf(delta)))
    return float(brentq(lambda epsilon: gaussian_delta(epsilon, mu) - delta, 0.0, highest, xtol=1e-10))


def mu_lower_bound(errors: int, runs: int, *, confidence: float = 0.95) -> float:
    """Largest mu that these guesses refute; 0 where they refute none.

    Args:
        errors: wrong guesses, by a rule that was fixed before any run.
        runs: how many there were, each with a fair coin of its own.
        confidence: of the bound, exact (Clopper and Pearson 1934).

    Raises:
        ValueError: the counts are impossible.
    """
    _, rate = clopper_pearson(errors, runs, 2 * (1 - confidence))
    return max(0.0, -2 * float(norm.ppf(rate)))


def epsilon_lower_bound(errors: int, runs: int, delta: float, *, confidence: float = 0.95) -> float:
    """Largest epsilon at `delta` that the guesses refute of a Gaussian mechanism; arguments as of `mu_lower_bound`."""
    return gaussian_epsilon(mu_lower_bound(errors, runs, confidence=confidence), delta)
