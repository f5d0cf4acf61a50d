"""Exact intervals and tests of proportions."""

from __future__ import annotations

from collections.abc import Callable

from scipy.stats import beta, binomtest, hypergeom


def _check(successes: int, trials: int) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials is impossible")


def clopper_pearson(successes: int, trials: int, alpha: float) -> tuple[float, float]:
    """Two-sided exact interval of level 1 - alpha (Clopper and Pearson 1934), each side alpha / 2.

    Raises:
        ValueError: impossible counts or alpha outside (0, 1).
    """
    _check(successes, trials)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha:g} is outside (0, 1)")
    lower = 0.0 if successes == 0 else float(beta.ppf(alpha / 2, successes, trials - successes + 1))
    upper = 1.0 if successes == trials else float(beta.ppf(1 - alpha / 2, successes + 1, trials - successes))
    return lower, upper


def binomial_greater(successes: int, trials: int, rate: float) -> float:
    """Exact p-value against "the rate is at most `rate`".

    Raises:
        ValueError: impossible counts.
    """
    _check(successes, trials)
    return float(binomtest(successes, trials, rate, alternative="greater").pvalue)


def fisher_greater(successes: int, trials: int, base_successes: int, base_trials: int) -> float:
    """Fisher's exact one-sided p-value against "the first rate is at most the base rate".

    It stays exact where the threshold of a success is an order statistic of the base sample, that is where
    `base_successes` = r - 1 by choice and a success is a value beyond the r-th most extreme base value:
    with exchangeable values the number of successes is then negative hypergeometric (the exceedance test of
    Gumbel and von Schelling 1950), and its tail is this very sum. No half of the base sample is spent on
    choosing the threshold.

    Raises:
        ValueError: impossible counts.
    """
    _check(successes, trials)
    _check(base_successes, base_trials)
    # Of the successes + base_successes most extreme values, at most base_successes fall to the base sample.
    return float(hypergeom.cdf(base_successes, trials + base_trials, base_trials, successes + base_successes))


def smallest_significant(trials: int, base_successes: int, base_trials: int, alpha: float) -> int | None:
    """Least number of successes that `fisher_greater` calls significant, or None where not even all are."""
    if fisher_greater(trials, trials, base_successes, base_trials) > alpha:
        return None
    low, high = 0, trials
    while low < high:
        middle = (low + high) // 2
        if fisher_greater(middle, trials, base_successes, base_trials) <= alpha:
            high = middle
        else:
            low = middle + 1
    return high


def bound_exceeded(
    true_positives: int,
    members: int,
    false_positives: int,
    non_members: int,
    bound: Callable[[float], float],
) -> float:
    """p-value against "TPR <= bound(FPR)", with both rates unknown.

    The least alpha at which the lower limit of TPR exceeds `bound` at the upper limit of FPR, each limit
    one-sided exact at alpha / 2 (union bound). With few non-members the FPR is hardly known, and comparing
    TPR with the bound at the TARGET FPR would raise false alarms: above the largest of 10 non-members lie
    on average 9 % of all patients, not 1 %.

    Args:
        bound: non-decreasing map of FPR to the highest TPR allowed.

    Raises:
        ValueError: impossible counts.
    """
    _check(true_positives, members)
    _check(false_positives, non_members)

    def exceeded(alpha: float) -> bool:
        lower, _ = clopper_pearson(true_positives, members, alpha)
        _, upper = clopper_pearson(false_positives, non_members, alpha)
        return lower > bound(upper)

    high = 0.0  # exponents of 10
    low = -12.0
    if not exceeded(10 ** (high - 1e-9)):
        return 1.0
    if exceeded(10**low):
        return 10**low
    while high - low > 1e-6:
        middle = (low + high) / 2
        if exceeded(10**middle):
            high = middle
        else:
            low = middle
    return float(10**high)
