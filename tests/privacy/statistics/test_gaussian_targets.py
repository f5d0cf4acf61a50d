"""What is known of a Gaussian mechanism with canaries that do not meet, reproduced: curves, bounds, and broken ones.

The numbers were computed for the project by other code than this: S1 to S4 of its facts on audits.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from fedgen_privacy.statistics.auc import auc
from fedgen_privacy.statistics.one_run import detectable, epsilon_lower_bound
from fedgen_privacy.statistics.two_worlds import gaussian_epsilon

DELTA = 1e-5
#: epsilon: mu, AUC, TPR at 1 % and at 0.1 % FPR
CURVES = {
    1: (0.268, 0.575, 0.020, 0.0024),
    2: (0.502, 0.639, 0.034, 0.0048),
    4: (0.925, 0.743, 0.081, 0.0152),
    8: (1.666, 0.881, 0.255, 0.0772),
}
#: canaries: mean bound of eight simulations at epsilon 1, 2, 4, 8
BOUNDS = {100: (0.0, 0.09, 0.47, 1.35), 1000: (0.26, 0.75, 1.45, 2.50)}
BUDGETS = (0.05, 0.1, 0.2, 0.35, 0.5, 1.0)


def mu_of(epsilon: float) -> float:
    return float(brentq(lambda mu: gaussian_epsilon(mu, DELTA) - epsilon, 1e-3, 50))


def world(mu: float, m: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    coins = rng.random(m) < 0.5
    return rng.normal(mu * coins, 1.0), coins


def best(scores: np.ndarray, coins: np.ndarray) -> float:
    """The best bound of the budgets, each at 5 % over their number."""
    m, found, order = len(coins), [], np.argsort(scores, kind="stable")
    for share in BUDGETS:
        sides = max(1, int(share * m / 2))
        right = int(coins[order[m - sides :]].sum() + (~coins[order[:sides]]).sum())
        found.append(epsilon_lower_bound(m, 2 * sides, right, DELTA, confidence=1 - 0.05 / len(BUDGETS)))
    return max(found)


@pytest.mark.parametrize("epsilon", CURVES)
def test_the_best_attack_on_a_gaussian_mechanism_is_the_known_one(epsilon: int) -> None:
    mu = mu_of(epsilon)
    found = (mu, norm.cdf(mu / math.sqrt(2)), norm.sf(norm.isf(0.01) - mu), norm.sf(norm.isf(0.001) - mu))
    for value, known, digits in zip(found, CURVES[epsilon], (3, 3, 3, 4), strict=True):
        assert value == pytest.approx(known, abs=0.6 * 10**-digits)


@pytest.mark.parametrize("m", BOUNDS)
def test_the_mean_bound_is_the_known_one_and_far_below_its_epsilon(m: int) -> None:
    for epsilon, known in zip((1, 2, 4, 8), BOUNDS[m], strict=True):
        rng = np.random.default_rng(m)
        found = [best(*world(mu_of(epsilon), m, rng)) for _ in range(8)]
        spread = float(np.std(found, ddof=1))
        # Two means of eight differ by chance.
        assert abs(float(np.mean(found)) - known) <= 4 * spread * math.sqrt(2 / 8) + 0.02
        assert max(found) < epsilon


def test_random_scores_prove_nothing() -> None:
    rng, m = np.random.default_rng(3), 500
    worlds = [world(0.0, m, rng) for _ in range(60)]
    areas = [auc(scores[coins], scores[~coins]) for scores, coins in worlds]
    # Half-width of the null AUC with 250 members and as many others.
    half = 1.96 * math.sqrt((m + 1) / (12 * 250 * 250))
    assert np.mean(np.abs(np.array(areas) - 0.5) <= half) >= 0.85
    assert sum(best(*each) > 0 for each in worlds) <= 60 * 0.05 + 3 * math.sqrt(60 * 0.05 * 0.95)


@pytest.mark.parametrize(
    ("what", "mu"),
    [("no noise", 1e6), ("noise a tenth", 10.0), ("no clipping of a canary ten times as long", 10.0)],
)
def test_a_mechanism_that_is_broken_is_proven_so(what: str, mu: float) -> None:
    """Of a seed that the attacker has the noise can be taken away, which is the first."""
    for m in (100, 1000):
        rng = np.random.default_rng(m)
        assert best(*world(mu * mu_of(1.0), m, rng)) > 1.0, what


@pytest.mark.parametrize(
    ("m", "most"), [(10, 1.05), (50, 2.78), (200, 4.19), (500, 5.10), (5000, 7.28), (10_000, 7.83)]
)
def test_the_most_that_can_be_proven_is_the_known_ceiling(m: int, most: float) -> None:
    assert detectable(m, m, DELTA) == pytest.approx(most, abs=0.01)
