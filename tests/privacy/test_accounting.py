"""Accounting against dp-accounting, order of the accountants, calibration."""

import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant

from fedgen_privacy.accounting import EpsilonCurve, Spend, calibrate_noise, epsilon_prv, epsilon_rdp
from fedgen_privacy.errors import PrivacyRefusedError

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


def test_small_epsilons_are_reachable() -> None:
    """Opacus' own RDP orders end at 63 and cannot express this target."""
    sigma = calibrate_noise(epsilon=0.1, delta=1e-5, sampling_rate=0.3, steps=40)
    assert epsilon_rdp([Spend(sigma, 0.3, 40)], 1e-5) < 0.13


def test_the_curve_equals_recomputing() -> None:
    curve = EpsilonCurve(Spend(1.3, 0.2, 7), 1e-5)
    for rounds in (1, 3, 20):
        assert curve.after(rounds) == pytest.approx(epsilon_rdp([Spend(1.3, 0.2, 7 * rounds)], 1e-5))
    assert curve.after(0) == 0.0


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
        monkeypatch.setattr(
            "opacus.accountants.PRVAccountant.get_epsilon", lambda *a, wrong=wrong, **k: wrong
        )
        with pytest.raises(PrivacyRefusedError, match="disagree"):
            epsilon_prv([Spend(1.2, 0.3, 60)], 1e-3)
