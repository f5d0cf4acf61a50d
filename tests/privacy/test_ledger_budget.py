"""Budgets over studies: refused exactly when the composed epsilon exceeds them, by independent accountants."""

from __future__ import annotations

import functools
import math
from collections import Counter
from pathlib import Path

import pytest
from dp_accounting import ComposedDpEvent, GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import PRVAccountant

from fedgen_privacy.accounting import RDP_ORDERS, Spend, calibrate_noise, epsilon_prv, epsilon_rdp
from fedgen_privacy.composition import epsilon_of_studies, with_plan
from fedgen_privacy.errors import ExitCode, PrivacyRefusedError
from fedgen_privacy.ledger import Budget, BudgetExceededError, Charge, Ledger

DELTA = 1e-3
A, B, C = Spend(2.0, 0.3, 6), Spend(4.0, 1.0, 2), Spend(1.1, 0.02, 40)
mechanisms = st.sampled_from([A, B, C])


def event(spends: tuple[Spend, ...]) -> ComposedDpEvent:
    """The same history in dp-accounting's words."""
    steps = Counter[tuple[float, float]]()
    for spend in spends:
        steps[spend.sampling_rate, spend.noise_multiplier] += spend.steps
    return ComposedDpEvent(
        [
            SelfComposedDpEvent(PoissonSampledDpEvent(q, GaussianDpEvent(sigma)), count)
            for (q, sigma), count in steps.items()
        ]
    )


@functools.cache
def by_rdp(spends: tuple[Spend, ...]) -> float:
    accountant = RdpAccountant(orders=RDP_ORDERS)
    accountant.compose(event(spends))
    return float(accountant.get_epsilon(DELTA))


@functools.cache
def by_pld(spends: tuple[Spend, ...]) -> float:
    accountant = PLDAccountant(value_discretization_interval=1e-3)
    accountant.compose(event(spends))
    return float(accountant.get_epsilon(DELTA))


def reference(studies: dict[str, list[Spend]]) -> float:
    """One study by privacy loss distributions, several by RDP."""
    together = tuple(sorted((s for spends in studies.values() for s in spends), key=repr))
    if not together:
        return 0.0
    return by_pld(together) if len(studies) == 1 else by_rdp(together)


@given(st.lists(mechanisms, min_size=1, max_size=3), st.lists(mechanisms, min_size=1, max_size=3))
@settings(max_examples=12)
def test_several_studies_compose_as_dp_accounting_says(one: list[Spend], two: list[Spend]) -> None:
    together = tuple(sorted([*one, *two], key=repr))
    ours = epsilon_of_studies([one, two], DELTA)
    assert ours == pytest.approx(by_rdp(together), rel=0.01)
    # The tighter bound of the very same steps: the rule never undercuts it.
    assert ours >= by_pld(together) * 0.999
    # Each study alone is cheaper, by either bound.
    assert epsilon_of_studies([one], DELTA) <= ours


@given(st.lists(mechanisms, min_size=1, max_size=4))
@settings(max_examples=12)
def test_one_study_composes_as_privacy_loss_distributions_say(spends: list[Spend]) -> None:
    ours, truth = epsilon_of_studies([spends], DELTA), by_pld(tuple(sorted(spends, key=repr)))
    assert ours == pytest.approx(truth, rel=0.01)
    assert ours >= truth * 0.999


@pytest.mark.filterwarnings("ignore:Optimal order", "ignore:divide by zero")
def test_one_study_composes_as_the_prv_accountant_says() -> None:
    opacus = PRVAccountant()
    opacus.history = [(s.noise_multiplier, s.sampling_rate, s.steps) for s in (A, B, C)]
    expected = opacus.get_epsilon(DELTA, eps_error=0.005)
    assert epsilon_of_studies([[A, B, C]], DELTA) == pytest.approx(expected, rel=0.01)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nothing_spent_no_privacy_and_what_no_prv_exists_for() -> None:
    assert epsilon_of_studies([], DELTA) == epsilon_of_studies([[], [Spend(1.0, 0.5, 0)]], DELTA) == 0
    assert epsilon_of_studies([[A], [None]], DELTA) == math.inf
    # Studies without a step do not make several of one.
    assert epsilon_of_studies([[A], [Spend(9.0, 0.5, 0)]], DELTA) == epsilon_prv([A], DELTA)
    # Where losses are too large for PRV, the Renyi bound remains.
    loud = Spend(0.05, 1.0, 100)
    assert (
        epsilon_of_studies([[loud]], DELTA) == epsilon_prv([loud], DELTA) == epsilon_rdp([loud], DELTA) > 1e4
    )


def test_a_plan_holds_what_is_charged_of_it() -> None:
    def steps(spends: list[Spend | None]) -> dict[float, int]:
        return {spend.noise_multiplier: spend.steps for spend in spends if spend is not None}

    assert steps(with_plan([A, A], [A] * 5)) == {2.0: 30}
    assert steps(with_plan([A] * 5, [A] * 2)) == {2.0: 30}
    assert steps(with_plan([A, B], [A, C])) == {2.0: 6, 4.0: 2, 1.1: 40}
    assert None in with_plan([A], [None])
    assert None in with_plan([None], [A])


@given(
    st.lists(st.tuples(st.sampled_from(["s", "t"]), mechanisms), min_size=1, max_size=6),
    st.floats(0.2, 5),
)
@settings(max_examples=30, deadline=None)
def test_a_row_is_refused_exactly_when_the_composed_epsilon_exceeds(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[str, Spend]], limit: float
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")
    budget, kept = Budget(limit, DELTA), dict[str, list[Spend]]()
    for round, (study, spend) in enumerate(asked, start=1):
        wanted = {**kept, study: [*kept.get(study, []), spend]}
        truth, before = reference(wanted), ledger.spent(DELTA)
        try:
            assert ledger.charge(Charge(study, round, "m", spend), budget)
        except BudgetExceededError:
            assert truth > limit * 0.99
            assert ledger.spent(DELTA) == before
            assert ledger.after(wanted[study], DELTA, study) > limit
        else:
            assert truth <= limit * 1.01
            assert before * 0.995 <= ledger.spent(DELTA) <= limit
            kept = wanted
    assert {study: list(spends) for study, spends in ledger.by_study().items()} == kept


def test_a_study_calibrated_to_the_limit_runs_to_its_last_round_and_no_further(tmp_path: Path) -> None:
    """RDP alone would refuse it some rounds before the end."""
    rounds, q, steps = 10, 16 / 52, 12
    sigma = calibrate_noise(epsilon=10.0, delta=DELTA, sampling_rate=q, steps=rounds * steps)
    plan, budget = [Spend(sigma, q, steps)] * rounds, Budget(10.0, DELTA)
    assert epsilon_rdp(plan, DELTA) > 10.5
    path = tmp_path / "ledger.jsonl"
    for round, spend in enumerate(plan, start=1):
        # At the start of every round, whatever part of the study is done.
        assert 9.8 < Ledger(path).admit("s", plan, budget) <= 10
        assert Ledger(path).charge(Charge("s", round, "m", spend), budget)
    assert Ledger(path).after(plan, DELTA, "s") == Ledger(path).spent(DELTA) <= 10
    with pytest.raises(BudgetExceededError, match="Round 11 of study s would bring epsilon") as refused:
        Ledger(path).charge(Charge("s", 11, "m", plan[0]), budget)
    assert refused.value.exit_code is ExitCode.REFUSED
    # The work already paid for may be done again, even where the limit was lowered since.
    assert not Ledger(path).charge(Charge("s", 10, "m", plan[0]), Budget(1.0, DELTA))
    # Another study on top is refused at its start, by the sentence that says why.
    sentence = (
        r"The whole of study other would bring epsilon in .*ledger\.jsonl from 9\.9\d* to 11\.\d+ at delta 0\.001, "
        r"above the 10 allowed: .*\.$"
    )
    with pytest.raises(BudgetExceededError, match=sentence):
        Ledger(path).admit("other", [Spend(50.0, 0.1, 1)], budget)


def test_work_without_privacy_fits_no_limit_before_or_after(tmp_path: Path) -> None:
    ledger, budget = Ledger(tmp_path / "ledger.jsonl"), Budget(1e9, DELTA)
    free = Charge("free", 1, "m", None)
    for attempt in (lambda: ledger.charge(free, budget), lambda: ledger.admit("free", [None], budget)):
        with pytest.raises(BudgetExceededError, match="from 0 to no bound at all"):
            attempt()
    assert list(ledger) == []
    assert ledger.charge(free)
    assert not ledger.charge(free, budget)
    with pytest.raises(PrivacyRefusedError, match="another mechanism"):
        ledger.charge(Charge("free", 1, "m", A))
    assert ledger.spent(DELTA) == Ledger(tmp_path / "ledger.jsonl").spent(DELTA) == math.inf
    for attempt in (
        lambda: ledger.charge(Charge("s", 1, "m", A), budget),
        lambda: ledger.admit("s", [A], budget),
    ):
        with pytest.raises(BudgetExceededError, match="from no bound at all to no bound at all"):
            attempt()
    # Without a limit work goes on, and each study's rows can be told apart.
    assert ledger.charge(Charge("s", 1, "m", A))
    assert ledger.by_study() == {"free": [None], "s": [A]}
    assert ledger.spends() == ledger.spends("s") == [A]


def test_rows_of_another_process_count_against_the_budget(tmp_path: Path) -> None:
    ours, theirs = (Ledger(tmp_path / "ledger.jsonl") for _ in range(2))
    budget = Budget(epsilon_prv([A], DELTA) * 1.05, DELTA)
    assert theirs.charge(Charge("t", 1, "m", A), budget)
    with pytest.raises(BudgetExceededError):
        ours.charge(Charge("s", 1, "m", A), budget)


@pytest.mark.parametrize(("epsilon", "delta"), [(-1.0, 1e-5), (math.nan, 1e-5), (1.0, 0.0), (1.0, 1.0)])
def test_a_budget_that_makes_no_sense(epsilon: float, delta: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Budget(epsilon, delta)


def test_a_budget_of_nothing_allows_nothing(tmp_path: Path) -> None:
    with pytest.raises(BudgetExceededError):
        Ledger(tmp_path / "ledger.jsonl").charge(Charge("s", 1, "m", A), Budget(0.0, DELTA))
