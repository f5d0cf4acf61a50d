"""Accounting against dp-accounting, order of the accountants, calibration."""

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant
from opacus.accountants import PRVAccountant
from opacus.accountants.analysis.prv import PoissonSubsampledGaussianPRV, compute_safe_domain_size
from scipy import integrate
from scipy.optimize import brentq

from fedgen_privacy import accounting
from fedgen_privacy.accounting import (
    PRV_LARGEST_ERROR,
    PRV_RELATIVE_ERROR,
    Spend,
    calibrate_noise,
    epsilon_prv,
    epsilon_rdp,
)
from fedgen_privacy.errors import PrivacyRefusedError
from fedgen_privacy.statistics.two_worlds import gaussian_epsilon

CASES = [(1.2, 0.3, 60, 1e-3), (2.51, 0.0683, 500, 1e-5), (7.4, 0.5, 200, 1e-3), (15.0, 1.0, 200, 1e-3)]


def pld(sigma: float, q: float, steps: int, delta: float) -> float:
    """The independent reference: Google's privacy loss distributions."""
    accountant = PLDAccountant(value_discretization_interval=1e-3)
    accountant.compose(SelfComposedDpEvent(PoissonSampledDpEvent(q, GaussianDpEvent(sigma)), steps))
    return float(accountant.get_epsilon(delta))


@pytest.mark.parametrize(("sigma", "q", "steps", "delta"), CASES)
def test_prv_agrees_with_privacy_loss_distributions(sigma: float, q: float, steps: int, delta: float) -> None:
    ours, reference = epsilon_prv([Spend(sigma, q, steps)], delta), pld(sigma, q, steps, delta)
    assert ours == pytest.approx(reference, rel=0.01)
    # An upper bound: never below the truth by more than the reference's own discretisation.
    assert ours >= reference * 0.999


#: As `CASES`, and the demonstration, one step, many steps with a small rate, and an epsilon above 200.
PRV_CASES = [
    *CASES,
    (1.53, 16 / 52, 120, 1e-3),
    (1.0, 0.05, 1, 1e-6),
    (0.49, 256 / 13500, 96, 1e-5),
    (1.0, 0.01, 2000, 1e-5),
    (0.5, 1.0, 80, 1e-3),
]


def opacus(history: list[tuple[float, float, int]], delta: float, eps_error: float) -> float:
    """Opacus' accountant whole, with its own domain."""
    accountant = PRVAccountant()
    accountant.history = history
    return float(accountant.get_epsilon(delta, eps_error=eps_error))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Optimal order", "ignore:divide by zero")
@pytest.mark.parametrize(("sigma", "q", "steps", "delta"), PRV_CASES)
def test_our_domain_leaves_opacus_number_as_it_is(sigma: float, q: float, steps: int, delta: float) -> None:
    width = min(PRV_RELATIVE_ERROR * epsilon_rdp([Spend(sigma, q, steps)], delta), PRV_LARGEST_ERROR)
    ours, theirs = epsilon_prv([Spend(sigma, q, steps)], delta), opacus([(sigma, q, steps)], delta, width)
    # Two safe domains differ by far less than the width they were built for.
    assert abs(ours - theirs) <= 1e-3 * width


@pytest.mark.filterwarnings("ignore:Optimal order")
def test_our_domain_leaves_opacus_number_of_two_mechanisms_as_it_is() -> None:
    a, b = Spend(2.0, 0.2, 10), Spend(3.0, 0.1, 20)
    width = PRV_RELATIVE_ERROR * epsilon_rdp([a, b], 1e-5)
    theirs = opacus([(2.0, 0.2, 10), (3.0, 0.1, 20)], 1e-5, width)
    assert epsilon_prv([a, b], 1e-5) == pytest.approx(theirs, abs=1e-3 * width)


@pytest.mark.filterwarnings("ignore:Optimal order")
@pytest.mark.parametrize(("sigma", "q", "steps", "delta"), PRV_CASES)
def test_the_domain_is_about_as_wide_as_opacus(sigma: float, q: float, steps: int, delta: float) -> None:
    """Narrower only where larger orders than Opacus' give a better bound of the same tail."""
    ours = accounting._half_width(((sigma, q, steps),), 0.01, delta / 1000)
    theirs = compute_safe_domain_size([PoissonSubsampledGaussianPRV(q, sigma)], [steps], 0.01, delta / 1000)
    assert 0.98 * theirs <= ours <= 1.05 * theirs


@pytest.mark.parametrize(
    ("sigma", "q", "delta"), [(1.53, 16 / 52, 1e-3), (0.8, 0.05, 1e-5), (3.0, 0.5, 1e-5)]
)
def test_the_domain_holds_the_loss_of_one_step(sigma: float, q: float, delta: float) -> None:
    """The bound of one step, by quadrature of the privacy loss: delta(L - 3) <= delta_error / (8 steps)."""
    steps, delta_error = 100, delta / 1000
    half_width = accounting._half_width(((sigma, q, steps),), 0.01, delta_error)
    prv = PoissonSubsampledGaussianPRV(q, sigma)
    left = half_width - 3
    tail, _ = integrate.quad(lambda t: prv.pdf(t) * -np.expm1(left - t), left, left + 30, epsabs=1e-18)
    assert 0 <= tail <= delta_error / (8 * steps)


@pytest.mark.parametrize(("sigma", "q", "steps", "delta"), CASES)
def test_rdp_is_above_prv(sigma: float, q: float, steps: int, delta: float) -> None:
    assert epsilon_prv([Spend(sigma, q, steps)], delta) <= epsilon_rdp([Spend(sigma, q, steps)], delta)


def test_history_composes_whatever_its_order_and_grouping() -> None:
    a, b = Spend(2.0, 0.2, 10), Spend(3.0, 0.1, 20)
    whole = epsilon_prv([a, b], 1e-5)
    assert epsilon_prv([b, Spend(2.0, 0.2, 4), Spend(2.0, 0.2, 6)], 1e-5) == pytest.approx(whole)
    assert whole > epsilon_prv([a], 1e-5)
    reference = PLDAccountant(value_discretization_interval=1e-3)
    reference.compose(SelfComposedDpEvent(PoissonSampledDpEvent(0.2, GaussianDpEvent(2.0)), 10))
    reference.compose(SelfComposedDpEvent(PoissonSampledDpEvent(0.1, GaussianDpEvent(3.0)), 20))
    assert whole == pytest.approx(float(reference.get_epsilon(1e-5)), rel=0.01)


def test_nothing_spent_is_epsilon_zero() -> None:
    assert epsilon_prv([], 1e-5) == epsilon_rdp([Spend(1.0, 0.5, 0)], 1e-5) == 0.0


@pytest.mark.parametrize(("epsilon", "q", "steps"), [(10.0, 0.4, 50), (3.0, 1.0, 50), (0.5, 0.05, 1)])
def test_calibrated_noise_reaches_the_target_and_little_less_does_not(
    epsilon: float, q: float, steps: int
) -> None:
    sigma = calibrate_noise(epsilon=epsilon, delta=1e-4, sampling_rate=q, steps=steps)
    reached = epsilon_prv([Spend(sigma, q, steps)], 1e-4)
    assert reached <= epsilon
    assert reached >= 0.985 * epsilon
    assert epsilon_prv([Spend(0.93 * sigma, q, steps)], 1e-4) > epsilon


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_a_guess_no_epsilon_can_be_stated_for_is_not_the_end() -> None:
    """At a large epsilon and a small rate the first guess falls where PRV has no answer."""
    sigma = calibrate_noise(epsilon=100, delta=1e-5, sampling_rate=0.01, steps=100)
    assert 99 <= epsilon_prv([Spend(sigma, 0.01, 100)], 1e-5) <= 100


@pytest.mark.filterwarnings("error")
def test_an_epsilon_worth_nothing_is_stated_as_well() -> None:
    """Of one sum over all patients, as a positive control of an audit has it: it asked for 4 TiB."""
    sigma = calibrate_noise(epsilon=1e4, delta=1e-3, sampling_rate=1.0, steps=1)
    found = epsilon_prv([Spend(sigma, 1.0, 1)], 1e-3)
    exact = brentq(lambda s: gaussian_epsilon(1 / s, 1e-3) - 1e4, 1e-3, 1.0)
    assert 9800 < found <= 1e4 and exact < sigma < 1.15 * exact


def test_small_epsilons_are_reachable() -> None:
    """Opacus' own RDP orders end at 63 and cannot express this target."""
    sigma = calibrate_noise(epsilon=0.1, delta=1e-5, sampling_rate=0.3, steps=40)
    assert epsilon_rdp([Spend(sigma, 0.3, 40)], 1e-5) < 0.13
    assert calibrate_noise(epsilon=0.006, delta=1e-5, sampling_rate=1.0, steps=1) > 300


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_noise_must_be_positive(sigma: float) -> None:
    with pytest.raises(ValueError, match="noise multiplier"):
        Spend(sigma, 0.5, 1)


@pytest.mark.parametrize("q", [0.0, 1.1, -0.1])
def test_sampling_rate_must_be_a_probability(q: float) -> None:
    with pytest.raises(ValueError, match="sampling rate"):
        Spend(1.0, q, 1)


def test_disagreeing_accountants_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """PRV has returned negative and far too large values in published versions; neither may be printed."""
    for wrong in (-0.3, float("nan"), 50.0):
        monkeypatch.setattr(accounting, "_upper_bound_prv", lambda *_, wrong=wrong: wrong)
        with pytest.raises(PrivacyRefusedError, match="disagree"):
            epsilon_prv([Spend(1.2, 0.3, 60)], 1e-3)
