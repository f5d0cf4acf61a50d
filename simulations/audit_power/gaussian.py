"""What the one-run bound and an attacker's curve are on a Gaussian mechanism of known epsilon, in seconds.

    python simulations/audit_power/gaussian.py [--readme simulations/audit_power/README.md]

Canaries do not meet: the score of each is N(mu s, 1), s by a fair coin. So the numbers are targets: what a training's
own canaries reach can be held against them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from readme_of import publish, table
from scipy.optimize import brentq
from scipy.stats import norm

from fedgen_privacy.statistics.one_run import detectable, epsilon_lower_bound
from fedgen_privacy.statistics.two_worlds import gaussian_epsilon

DELTA = 1e-5
EPSILONS = (1.0, 2.0, 4.0, 8.0)
CANARIES = (100, 500, 1000, 5000)
SIMULATIONS = 8
#: Shares of the canaries about which something is guessed, half of it on either side.
BUDGETS = (0.05, 0.1, 0.2, 0.35, 0.5, 1.0)

Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]


def mu_of(epsilon: float, delta: float = DELTA) -> float:
    """mu of the Gaussian mechanism that is exactly (epsilon, delta)-private (Balle and Wang 2018)."""
    return float(brentq(lambda mu: gaussian_epsilon(mu, delta) - epsilon, 1e-3, 50))


def tpr(mu: float, fpr: float) -> float:
    """Of the best attack on one canary."""
    return float(norm.sf(norm.isf(fpr) - mu))


def auc(mu: float) -> float:
    """Of the best attack on one canary."""
    return float(norm.cdf(mu / 2**0.5))


def right(scores: Numbers, coins: Numbers, guesses: int) -> int:
    """Right ones of `guesses`, half of them for the highest scores and half for the lowest."""
    order, sides = np.argsort(scores, kind="stable"), guesses // 2
    return int(coins[order[len(order) - sides :]].sum() + (1 - coins[order[:sides]]).sum())


def best_bound(scores: Numbers, coins: Numbers, delta: float = DELTA) -> float:
    """The largest of the bounds by the fixed budgets, each at 5 % over their number."""
    m, found = len(coins), []
    for share in BUDGETS:
        guesses = 2 * max(1, int(share * m / 2))
        correct = right(scores, coins, guesses)
        bound = epsilon_lower_bound(m, guesses, correct, delta, confidence=1 - 0.05 / len(BUDGETS))
        found.append(bound)
    return max(found)


def drawn(mu: float, m: int, rng: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Scores and coins of m canaries."""
    coins = (rng.random(m) < 0.5).astype(float)
    return rng.normal(mu * coins, 1.0), coins


def mean_bound(mu: float, m: int, seed: int, simulations: int = SIMULATIONS) -> float:
    """Of so many simulations, the mean of the best bound."""
    rng = np.random.default_rng(seed)
    return float(np.mean([best_bound(*drawn(mu, m, rng)) for _ in range(simulations)]))


#: What a mechanism that claims epsilon does instead, as what it makes of a canary's score.
BROKEN: dict[str, Callable[[float, Numbers, np.random.Generator], Numbers]] = {
    "no noise": lambda mu, coins, rng: mu * coins,
    "noise a tenth": lambda mu, coins, rng: rng.normal(10 * mu * coins, 1.0),
    "no clipping, a canary ten times as long": lambda mu, coins, rng: rng.normal(10 * mu * coins, 1.0),
    "noise of a seed that the attacker has": lambda mu, coins, rng: (
        (noisy := rng.normal(mu * coins, 1.0)) - (noisy - mu * coins)
    ),
}


def curves() -> str:
    """What the best attack reaches."""
    lines = []
    for epsilon in EPSILONS:
        mu = mu_of(epsilon)
        numbers = (f"{mu:.3f}", f"{auc(mu):.3f}", f"{tpr(mu, 0.01):.3f}", f"{tpr(mu, 0.001):.4f}")
        lines.append([f"{epsilon:g}", *numbers])
    return table(["epsilon", "mu", "AUC", "TPR at 1 % FPR", "TPR at 0.1 % FPR"], lines)


def bounds() -> str:
    """The mean bound, and the most that could be proven."""
    lines = [
        [f"{m}", *(f"{mean_bound(mu_of(e), m, m):.2f}" for e in EPSILONS), f"{detectable(m, m, DELTA):.2f}"]
        for m in CANARIES
    ]
    header = ["canaries", *(f"epsilon {epsilon:g}" for epsilon in EPSILONS), "at most"]
    return table(header, lines)


def broken() -> str:
    """The bound of mechanisms that do not do what they claim."""
    lines = []
    for what, made in BROKEN.items():
        cells = []
        for m in (100, 1000):
            rng = np.random.default_rng(m)
            coins = (rng.random(m) < 0.5).astype(float)
            cells.append(f"{best_bound(made(mu_of(1.0), coins, rng), coins):.2f}")
        lines.append([what, *cells])
    return table(["claims epsilon 1", "bound, 100 canaries", "bound, 1000 canaries"], lines)


def rules() -> str:
    """The mean bound by the share that is guessed on either side, for strong and weak leaks."""
    shares = (0.5, 0.25, 1 / 6, 1 / 12)
    lines = []
    for m in (60, 200, 1000):
        for epsilon in (2.0, 4.0, 8.0):
            mu, rng, found = mu_of(epsilon), np.random.default_rng(m), []
            worlds = [drawn(mu, m, rng) for _ in range(20)]
            for share in shares:
                guesses = 2 * int(share * m)
                each = (epsilon_lower_bound(m, guesses, right(*world, guesses), DELTA) for world in worlds)
                found.append(f"{np.mean(list(each)):.2f}")
            lines.append([f"{m}", f"{epsilon:g}", *found])
    return table(["canaries", "epsilon", *(f"r = {share:.2f} m" for share in shares)], lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--readme", type=Path, help="README whose tables are written anew")
    arguments = parser.parse_args()
    for name, made in (("curves", curves), ("bounds", bounds), ("broken", broken), ("rules", rules)):
        publish(name, made(), arguments.readme)


if __name__ == "__main__":
    main()
