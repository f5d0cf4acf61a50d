"""Epsilon of a history of Poisson-subsampled Gaussian steps, and the noise a target epsilon needs.

Opacus' accountants do the mathematics: PRV (Gopi, Lee and Wutschitz, NeurIPS 2021) is reported, RDP
(Mironov 2017; Mironov, Talwar and Zhang 2019) is the cross-check. Adjacency is add-or-remove one record.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from opacus.accountants import PRVAccountant, RDPAccountant
from opacus.accountants.analysis.rdp import compute_rdp, get_privacy_spent

from fedgen_privacy.errors import PrivacyRefusedError

#: Slack allowed between the two accountants before their disagreement is an error.
CROSS_CHECK_SLACK = 0.02
#: Orders of the RDP accountant: any set gives a valid bound. Opacus' own stops at 63, which cannot express
#: an epsilon below ln(1/delta)/62, and spends most of its time on a hundred fractional orders.
RDP_ORDERS = (
    *(1.25 + 0.25 * k for k in range(15)),
    *(float(order) for order in (*range(5, 64), 72, 80, 96, 128, 192, 256, 384, 512, 1024)),
)
#: Width of the PRV bound's own numerical error, as a share of epsilon: the bound is that much too high.
PRV_RELATIVE_ERROR = 0.005


@dataclass(frozen=True)
class Spend:
    """Steps of one mechanism: the ledger's row.

    Attributes:
        noise_multiplier: sigma > 0.
        sampling_rate: q in (0, 1].
        steps: number of steps, >= 0.
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int

    def __post_init__(self) -> None:
        if not (self.noise_multiplier > 0 and math.isfinite(self.noise_multiplier)):
            raise ValueError(f"noise multiplier must be positive and finite, not {self.noise_multiplier}")
        if not 0 < self.sampling_rate <= 1:
            raise ValueError(f"sampling rate must be in (0, 1], not {self.sampling_rate}")
        if self.steps < 0:
            raise ValueError(f"steps must not be negative, not {self.steps}")


def _history(spends: Sequence[Spend]) -> list[tuple[float, float, int]]:
    merged: dict[tuple[float, float], int] = {}
    for spend in spends:
        if spend.steps:
            key = (spend.noise_multiplier, spend.sampling_rate)
            merged[key] = merged.get(key, 0) + spend.steps
    return [(sigma, q, steps) for (sigma, q), steps in merged.items()]


def epsilon_rdp(spends: Sequence[Spend], delta: float) -> float:
    """Epsilon at `delta` by Renyi composition; 0 for nothing spent."""
    history = _history(spends)
    if not history:
        return 0.0
    accountant = RDPAccountant()
    accountant.history = history
    with warnings.catch_warnings():
        # A best order at the edge of the searched range only makes the bound looser, never wrong.
        warnings.filterwarnings("ignore", message="Optimal order")
        return float(accountant.get_epsilon(delta, alphas=list(RDP_ORDERS)))


def epsilon_prv(spends: Sequence[Spend], delta: float) -> float:
    """Upper bound of epsilon at `delta` by privacy random variables; 0 for nothing spent.

    Raises:
        PrivacyRefusedError: the numerical bound is not finite, negative, or above the RDP bound: then
            neither number is to be trusted.
    """
    history = _history(spends)
    if not history:
        return 0.0
    upper = epsilon_rdp(spends, delta)
    accountant = PRVAccountant()
    accountant.history = history
    try:
        epsilon = float(accountant.get_epsilon(delta, eps_error=PRV_RELATIVE_ERROR * upper))
    except (ValueError, RuntimeError, AssertionError) as error:
        raise PrivacyRefusedError(
            f"The PRV accountant cannot bound epsilon for {history} at delta {delta:g} ({error}): "
            "use more noise, that is a smaller epsilon or fewer steps."
        ) from error
    if not (math.isfinite(epsilon) and 0 <= epsilon <= upper * (1 + CROSS_CHECK_SLACK) + CROSS_CHECK_SLACK):
        raise PrivacyRefusedError(
            f"The accountants disagree for {history} at delta {delta:g} (PRV {epsilon:g}, RDP {upper:g}), "
            "so no epsilon can be stated: use more noise, that is a smaller epsilon or fewer steps."
        )
    return epsilon


@cache
def calibrate_noise(
    *, epsilon: float, delta: float, sampling_rate: float, steps: int, tolerance: float = 0.01
) -> float:
    """The smallest noise multiplier, up to `tolerance` in epsilon, whose PRV epsilon is at most `epsilon`.

    Raises:
        PrivacyRefusedError: no noise multiplier up to 1e5 reaches the target.
    """

    def spent(sigma: float) -> float:
        return epsilon_prv([Spend(sigma, sampling_rate, steps)], delta)

    def bound(sigma: float) -> float:
        # RDP is cheap and never below PRV by more than the slack: a safe first bracket.
        return epsilon_rdp([Spend(sigma, sampling_rate, steps)], delta)

    low, high = 0.1, 0.3
    while bound(high) > epsilon:
        low, high = high, 2.0 * high
        if high > 1e5:
            raise PrivacyRefusedError(
                f"No noise reaches epsilon {epsilon:g} at delta {delta:g} with sampling rate {sampling_rate:g} "
                f"over {steps} steps: ask for a larger epsilon or fewer steps."
            )
    while high > 1.03 * low:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if bound(middle) > epsilon else (low, middle)
    reached = spent(high)
    if reached > epsilon:
        raise PrivacyRefusedError(
            f"The PRV accountant is above the RDP accountant at noise multiplier {high:g}, so no epsilon can be "
            "stated: change the number of steps or the batch."
        )
    # Epsilon falls about as 1 / sigma here, so a step along that curve lands near the target; keeping the
    # last sigma that held makes the result safe whatever the true shape.
    for _ in range(20):
        if epsilon - reached <= tolerance * epsilon:
            break
        guess = high * reached / (epsilon * (1 - 0.4 * tolerance))
        while (at_guess := spent(guess)) > epsilon:
            guess = 0.5 * (guess + high)
        high, reached = guess, at_guess
    return high


class EpsilonCurve:
    """Epsilon by RDP after any number of repetitions of one spend, for the price of one.

    Args:
        spend: what each repetition costs.
        delta: in (0, 1).
    """

    def __init__(self, spend: Spend, delta: float) -> None:
        self._delta = delta
        self._rdp = compute_rdp(
            q=spend.sampling_rate,
            noise_multiplier=spend.noise_multiplier,
            steps=spend.steps,
            orders=list(RDP_ORDERS),
        )

    def after(self, repetitions: int) -> float:
        """Epsilon after `repetitions` >= 0; an upper bound."""
        if repetitions == 0:
            return 0.0
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Optimal order")
            epsilon, _ = get_privacy_spent(
                orders=list(RDP_ORDERS), rdp=self._rdp * repetitions, delta=self._delta
            )
        return float(epsilon)
