"""The one-run audit of differential privacy (Steinke, Nasr and Jagielski, NeurIPS 2023)."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom


def p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """Probability of at least `correct` right guesses under any (epsilon, delta)-DP mechanism (theorem 5.2).

    Each of `canaries` records is in by a fair coin of its own; the attack guesses for `guesses` of them, a number
    fixed beforehand. Adjacency is add-or-remove one record.

    Raises:
        ValueError: the counts are impossible.
    """
    if not 0 <= correct <= guesses <= canaries:
        raise ValueError(f"{correct} of {guesses} guesses about {canaries} canaries is impossible")
    q = 1 / (1 + np.exp(-epsilon))
    tail = float(binom.sf(correct - 1, guesses, q))
    if correct == 0 or delta == 0:
        return min(1.0, tail)
    i = np.arange(1, correct + 1)
    # P[correct - i <= V < correct] / i
    mass = np.cumsum(binom.pmf(correct - i, guesses, q)) / i
    return min(1.0, tail + 2 * canaries * delta * float(mass.max()))


def detectable(canaries: int, guesses: int, delta: float, *, confidence: float = 0.95) -> float:
    """Largest epsilon that so many canaries and guesses can prove: the bound where every guess is right.

    Raises:
        ValueError: the counts are impossible.
    """
    return epsilon_lower_bound(canaries, guesses, guesses, delta, confidence=confidence)


def epsilon_lower_bound(
    canaries: int, guesses: int, correct: int, delta: float, *, confidence: float = 0.95
) -> float:
    """Largest epsilon that these guesses refute with this confidence, rounded down; 0 where they refute none."""
    low, high = 0.0, 64.0
    if p_value(canaries, guesses, correct, low, delta) > 1 - confidence:
        return 0.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        if p_value(canaries, guesses, correct, middle, delta) <= 1 - confidence:
            low = middle
        else:
            high = middle
    return low
