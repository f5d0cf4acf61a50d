"""Epsilon of a history of Poisson-subsampled Gaussian steps, and the noise a target epsilon needs.

Opacus' analysis does the mathematics: PRV (Gopi, Lee and Wutschitz, NeurIPS 2021) is reported, RDP
(Mironov 2017; Mironov, Talwar and Zhang 2019) is the cross-check. Adjacency is add-or-remove one record.

Integer-valued noise, the discrete Gaussian of mode `distributed`, is accounted by RDP at WHOLE orders alone: there its
subsampled bound equals that of the continuous Gaussian exactly (docs/decisions/013), which is not so of its
privacy loss distribution.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from opacus.accountants.analysis.prv import (
    Domain,
    PoissonSubsampledGaussianPRV,
    TruncatedPrivacyRandomVariable,
    compose_heterogeneous,
    discretize,
)
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
#: Orders of the first, rough search for a noise multiplier: whole numbers, whose series are short and finite, up to
#: the largest of the above, so that no small epsilon is out of reach.
ROUGH_ORDERS = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
#: Width of the PRV bound's own numerical error, as a share of epsilon: the bound is that much too high.
PRV_RELATIVE_ERROR = 0.005
#: The same width is never more than this: the domain below is known to be safe for widths under 1.
PRV_LARGEST_ERROR = 0.99
#: Largest privacy loss that is tabulated: beyond it its exponential is no float64, and where epsilon is in the hundreds
#: the RDP bound says as much.
PRV_LARGEST_LOSS = 700.0
#: Share of delta given to the numerical error of PRV: Opacus' own default.
PRV_DELTA_SHARE = 1e-3

#: (noise multiplier, sampling rate, steps) of each mechanism, as Opacus' accountants keep it.
History = tuple[tuple[float, float, int], ...]


@dataclass(frozen=True)
class Spend:
    """Steps of one mechanism: the ledger's row.

    Attributes:
        noise_multiplier: sigma > 0.
        sampling_rate: q in (0, 1].
        steps: number of steps, >= 0.
        discrete: the noise is a discrete Gaussian on integers, whose sensitivity is what sigma is a multiple of.
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int
    discrete: bool = False

    def __post_init__(self) -> None:
        if not (self.noise_multiplier > 0 and math.isfinite(self.noise_multiplier)):
            raise ValueError(f"noise multiplier must be positive and finite, not {self.noise_multiplier}")
        if not 0 < self.sampling_rate <= 1:
            raise ValueError(f"sampling rate must be in (0, 1], not {self.sampling_rate}")
        if self.steps < 0:
            raise ValueError(f"steps must not be negative, not {self.steps}")


def _history(spends: Sequence[Spend]) -> History:
    merged: dict[tuple[float, float], int] = {}
    for spend in spends:
        if spend.steps:
            key = (spend.noise_multiplier, spend.sampling_rate)
            merged[key] = merged.get(key, 0) + spend.steps
    return tuple((sigma, q, steps) for (sigma, q), steps in merged.items())


@lru_cache(maxsize=256)
def _rdp_of_one_step(sigma: float, q: float, orders: tuple[float, ...]) -> npt.NDArray[np.float64]:
    rdp = np.asarray(compute_rdp(q=q, noise_multiplier=sigma, steps=1, orders=list(orders)))
    rdp.setflags(write=False)
    return rdp


def _to_epsilon(rdp: npt.NDArray[np.float64], delta: float, orders: tuple[float, ...] = RDP_ORDERS) -> float:
    with warnings.catch_warnings():
        # A best order at the edge of the searched range only makes the bound looser, never wrong.
        warnings.filterwarnings("ignore", message="Optimal order")
        return float(get_privacy_spent(orders=list(orders), rdp=rdp, delta=delta)[0])


def epsilon_rdp(spends: Sequence[Spend], delta: float, *, orders: tuple[float, ...] = RDP_ORDERS) -> float:
    """Epsilon at `delta` by Renyi composition, an upper bound whatever the `orders`; 0 for nothing spent.

    Where a spend is discrete only the whole ones among the orders are used.
    """
    history = _history(spends)
    if not history:
        return 0.0
    if any(spend.discrete for spend in spends):
        orders = tuple(order for order in orders if order.is_integer())
    rdp = sum(steps * _rdp_of_one_step(sigma, q, orders) for sigma, q, steps in history)
    return _to_epsilon(np.asarray(rdp), delta, orders)


def _half_width(history: History, eps_error: float, delta_error: float) -> float:
    """L of the domain [-L, L] that holds every privacy loss but for `delta_error` (Gopi et al., remark 5.6).

    This is `opacus.accountants.analysis.prv.compute_safe_domain_size` with our orders instead of Opacus'
    hundred fractional ones, on which nearly all of the accountant's time went. L is an RDP bound, and RDP is a
    bound at any set of orders, so the domain is as safe.
    """
    total = sum(steps for _, _, steps in history)
    one_step = [_rdp_of_one_step(sigma, q, RDP_ORDERS) for sigma, q, _ in history]
    composed = np.sum([rdp * steps for rdp, (_, _, steps) in zip(one_step, history, strict=True)], axis=0)
    bounds = [
        _to_epsilon(composed, delta_error / 4),
        *(_to_epsilon(rdp, delta_error / (8 * total)) for rdp in one_step),
    ]
    return max(*bounds, eps_error) + 3


@lru_cache(maxsize=256)
def _upper_bound_prv(history: History, delta: float, eps_error: float) -> float | None:
    """`opacus.accountants.PRVAccountant.get_epsilon`, step for step, but for the orders of `_half_width`.

    None where losses are too large.
    """
    delta_error = delta * PRV_DELTA_SHARE
    half_width = _half_width(history, eps_error, delta_error)
    if half_width > PRV_LARGEST_LOSS:
        return None
    counts = [steps for _, _, steps in history]
    mesh = eps_error / math.sqrt(sum(counts) * math.log(12 / delta_error) / 2)
    domain = Domain.create_aligned(-half_width, half_width, mesh)
    # At sampling rate 1 Opacus takes the logarithm of 0, and means it: the loss has no lower end.
    with np.errstate(divide="ignore"):
        discrete = [
            discretize(
                TruncatedPrivacyRandomVariable(
                    PoissonSubsampledGaussianPRV(q, sigma), domain.t_min, domain.t_max
                ),
                domain,
            )
            for sigma, q, _ in history
        ]
    whole = compose_heterogeneous(dprvs=discrete, num_self_compositions=counts)
    _, _, upper = whole.compute_epsilon(delta, delta_error, eps_error)
    return float(upper)


def epsilon_prv(spends: Sequence[Spend], delta: float) -> float:
    """Upper bound of epsilon at `delta` by privacy random variables; 0 for nothing spent.

    Epsilons in the hundreds are bounded by RDP alone, which is an upper bound as well.

    Raises:
        PrivacyRefusedError: the numerical bound is not finite, negative, or above the RDP bound: then
            neither number is to be trusted.
        ValueError: a spend is discrete.
    """
    history = _history(spends)
    if not history:
        return 0.0
    if any(spend.discrete for spend in spends):
        raise ValueError("the discrete Gaussian is accounted by RDP alone")
    upper = epsilon_rdp(spends, delta)
    try:
        epsilon = _upper_bound_prv(history, delta, min(PRV_RELATIVE_ERROR * upper, PRV_LARGEST_ERROR))
    except (ValueError, RuntimeError, AssertionError) as error:
        raise PrivacyRefusedError(
            f"The PRV accountant cannot bound epsilon for {list(history)} at delta {delta:g} ({error}): "
            "use more noise, that is a smaller epsilon or fewer steps."
        ) from error
    if epsilon is None:
        return upper
    if not (math.isfinite(epsilon) and 0 <= epsilon <= upper * (1 + CROSS_CHECK_SLACK) + CROSS_CHECK_SLACK):
        raise PrivacyRefusedError(
            f"The accountants disagree for {list(history)} at delta {delta:g} (PRV {epsilon:g}, RDP {upper:g}), "
            "so no epsilon can be stated: use more noise, that is a smaller epsilon or fewer steps."
        )
    return epsilon


def epsilon_reported(spends: Sequence[Spend], delta: float) -> float:
    """Epsilon at `delta` of ONE study, by the tightest accountant that holds for its noise: PRV, RDP where discrete."""
    if any(spend.discrete for spend in spends):
        return epsilon_rdp(spends, delta)
    return epsilon_prv(spends, delta)


@cache
def calibrate_noise(
    *,
    epsilon: float,
    delta: float,
    sampling_rate: float,
    steps: int | tuple[tuple[float, int], ...],
    tolerance: float = 0.01,
    discrete: bool = False,
    besides: tuple[Spend, ...] = (),
) -> float:
    """The smallest noise multiplier, up to `tolerance` in epsilon, whose reported epsilon is at most `epsilon`.

    Args:
        epsilon: target of the whole.
        delta: of the whole.
        sampling_rate: q of the steps.
        steps: their number; or, where noise changes on the way, pairs of a factor on the noise multiplier and the
            number of steps that have it.
        tolerance: share of epsilon that may be left unused.
        discrete: the noise is a discrete Gaussian.
        besides: what else the target has to cover, such as a query before the training.

    Raises:
        PrivacyRefusedError: no noise multiplier up to 1e5 reaches the target.
    """

    phases = ((1.0, steps),) if isinstance(steps, int) else steps
    total = sum(count for _, count in phases)

    def history(sigma: float) -> list[Spend]:
        return [
            *besides,
            *(Spend(sigma * factor, sampling_rate, count, discrete) for factor, count in phases),
        ]

    def spent(sigma: float) -> float:
        return epsilon_reported(history(sigma), delta)

    def bound(sigma: float) -> float:
        # RDP is cheap and never below PRV by more than the slack: a safe first bracket.
        return epsilon_rdp(history(sigma), delta, orders=ROUGH_ORDERS)

    low, high = 0.1, 0.3
    while bound(high) > epsilon:
        low, high = high, 2.0 * high
        if high > 1e5:
            beside = f" beside {len(besides)} other queries of the study" if besides else ""
            raise PrivacyRefusedError(
                f"No noise reaches epsilon {epsilon:g} at delta {delta:g} with sampling rate {sampling_rate:g} "
                f"over {total} steps{beside}: ask for a larger epsilon or fewer steps."
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
    # The secant method on log epsilon over log sigma, nearly a straight line. Only a sigma that was seen to hold
    # is ever returned, so the result is safe whatever the true shape.
    aim = math.log(epsilon * (1 - 0.5 * tolerance))
    slope, too_low = -1.0, 0.0
    sigma, at_sigma = high, reached
    for _ in range(20):
        if epsilon - reached <= tolerance * epsilon:
            break
        guess = sigma * math.exp((aim - math.log(at_sigma)) / slope)
        if not too_low < guess < high:
            guess = 0.5 * (too_low + high)
        try:
            at_guess = spent(guess)
        except PrivacyRefusedError:  # no number can be stated this far below the target: look higher
            too_low = guess
            continue
        if at_guess != at_sigma:
            slope = min(math.log(at_guess / at_sigma) / math.log(guess / sigma), -0.1)
        sigma, at_sigma = guess, at_guess
        if at_guess > epsilon:
            too_low = guess
        else:
            high, reached = guess, at_guess
    return high
