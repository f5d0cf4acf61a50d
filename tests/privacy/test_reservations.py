"""Budget kept free for admitted studies: none that began is ended by another, and none spends less for it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fedgen_privacy import reservations
from fedgen_privacy.accounting import Spend, epsilon_rdp
from fedgen_privacy.composition import is_done
from fedgen_privacy.errors import PrivacyRefusedError
from fedgen_privacy.ledger import Budget, BudgetExceededError, Charge, Ledger

DELTA = 1e-3
A, B = Spend(2.0, 0.3, 3), Spend(4.0, 1.0, 2)
ROUNDS = 4
PLANS = {"a": [A] * ROUNDS, "b": [B] * ROUNDS, "c": [A] * ROUNDS}
BUDGET = Budget(3.0, DELTA)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl")


def test_of_two_studies_that_cannot_both_end_the_second_does_not_begin(ledger: Ledger) -> None:
    """Each fits alone. Without it both begin, and one fails half way with its patients' epsilon spent."""
    limit = Budget(epsilon_rdp([*PLANS["a"], *PLANS["b"]], DELTA) * 0.99, DELTA)
    assert ledger.admit("b", PLANS["b"], limit) <= limit.epsilon
    ledger.reserve("a", PLANS["a"], limit)
    with pytest.raises(BudgetExceededError, match=r"The whole of study b .*, with what is kept free for a,"):
        ledger.reserve("b", PLANS["b"], limit)
    # Nor is a round of it charged where nobody asked for its admission.
    for round in range(1, ROUNDS + 1):
        try:
            ledger.charge(Charge("b", round, "m", B), limit)
        except BudgetExceededError:
            break
    else:
        pytest.fail("a study without admission spent what was kept free for another")
    for round, spend in enumerate(PLANS["a"], start=1):
        assert ledger.charge(Charge("a", round, "m", spend), limit)


def test_a_study_keeps_free_what_it_has_not_spent_and_no_more(ledger: Ledger) -> None:
    whole = ledger.reserve("a", PLANS["a"], BUDGET)
    assert ledger.promised(DELTA) == whole
    assert ledger.spent(DELTA) == 0
    for round, spend in enumerate(PLANS["a"], start=1):
        assert set(ledger.reserved()) == {"a"}
        ledger.charge(Charge("a", round, "m", spend), BUDGET)
        assert ledger.promised(DELTA) == whole
    assert ledger.reserved() == {}
    assert ledger.promised(DELTA) == ledger.spent(DELTA) == whole


def test_a_resumed_study_is_admitted_anew_and_counted_once(ledger: Ledger) -> None:
    first = ledger.reserve("a", PLANS["a"], BUDGET)
    ledger.charge(Charge("a", 1, "m", A), BUDGET)
    assert Ledger(ledger._path).reserve("a", PLANS["a"], BUDGET) == first
    # A plan that became smaller frees the rest.
    assert ledger.reserve("a", PLANS["a"][:2], BUDGET) < first


def test_what_is_released_can_be_another_s_and_what_is_spent_stays(ledger: Ledger) -> None:
    limit = Budget(epsilon_rdp([A, *PLANS["b"]], DELTA) * 1.001, DELTA)
    ledger.reserve("a", PLANS["a"][:2], limit)
    ledger.charge(Charge("a", 1, "m", A), limit)
    with pytest.raises(BudgetExceededError):
        ledger.reserve("b", PLANS["b"], limit)
    before = ledger.spent(DELTA)
    assert ledger.release("a")
    assert not ledger.release("a")
    assert ledger.spent(DELTA) == before
    ledger.reserve("b", PLANS["b"], limit)
    # Whoever goes on after its release is judged like anybody else.
    with pytest.raises(BudgetExceededError, match="Round 2 of study a"):
        ledger.charge(Charge("a", 2, "m", A), limit)


def test_work_without_privacy_is_never_kept_free(ledger: Ledger) -> None:
    with pytest.raises(BudgetExceededError):
        ledger.reserve("free", [None], Budget(1e9, DELTA))
    assert ledger.reserved() == {}
    assert not is_done([A], [None])
    assert is_done([None], [None])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"plans": 3}',
        b'{"plans": {"a": [{"sigma": 1}]}}',
        b'{"plans": {"a": [{"steps": -1}]}}',
    ],
)
def test_a_damaged_file_is_refused_aloud_and_costs_nothing_that_was_spent(
    ledger: Ledger, content: bytes
) -> None:
    ledger.charge(Charge("a", 1, "m", A), BUDGET)
    spent, path = ledger.spent(DELTA), Path(f"{ledger._path}.reserved")
    path.write_bytes(content)
    attempts = (
        lambda: ledger.reserve("b", PLANS["b"], BUDGET),
        lambda: ledger.charge(Charge("a", 2, "m", A), BUDGET),
        lambda: ledger.promised(DELTA),
    )
    for attempt in attempts:
        with pytest.raises(PrivacyRefusedError, match=r"\.reserved is damaged.*remove it"):
            attempt()
    assert Ledger(ledger._path).spent(DELTA) == spent
    path.unlink()
    ledger.reserve("b", PLANS["b"], BUDGET)


def test_reservations_of_another_process_count(tmp_path: Path) -> None:
    ours, theirs = (Ledger(tmp_path / "ledger.jsonl") for _ in range(2))
    limit = Budget(epsilon_rdp(PLANS["a"], DELTA) * 1.05, DELTA)
    theirs.reserve("a", PLANS["a"], limit)
    with pytest.raises(BudgetExceededError):
        ours.charge(Charge("b", 1, "m", Spend(0.9, 1.0, 2)), limit)


_VICTIM = """
import os, sys
from pathlib import Path
from fedgen_privacy.accounting import Spend
from fedgen_privacy.ledger import Budget, Ledger
ledger, budget = Ledger(Path(sys.argv[1])), Budget(1e6, 1e-3)
for number in range(10**6):
    ledger.reserve(str(number), [Spend(2.0, 0.3, 3)], budget)
    print(number, flush=True)
"""


@pytest.mark.slow
def test_kill_9_leaves_every_admission_that_was_told(tmp_path: Path) -> None:
    """Slow for the start of a process; the machine below dies at every single write instead."""
    path = tmp_path / "ledger.jsonl"
    process = subprocess.Popen([sys.executable, "-c", _VICTIM, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read().split()
    process.wait(30)
    process.stdout.close()
    assert set(told) <= set(Ledger(path).reserved())
    assert Ledger(path).release(told[0])


def test_releasing_needs_no_torch() -> None:
    code = (
        "import sys, fedgen_privacy.reservations; sys.exit('torch' in sys.modules or 'opacus' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class KilledError(BaseException):
    """The process dies: no handler of the code under test runs on the disk's behalf."""


class ReservationMachine(RuleBasedStateMachine):
    """Studies that are admitted, charge, end, are released, die and come back, in any order, under one budget."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "ledger.jsonl"
        self.admitted: set[str] = set()
        self.charged = dict.fromkeys(PLANS, 0)
        self.epsilon = 0.0

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule(study=st.sampled_from(sorted(PLANS)))
    def reserve(self, study: str) -> None:
        ledger = Ledger(self.path)
        fits = ledger.after(PLANS[study], DELTA, study) <= BUDGET.epsilon
        # Whoever is admitted stays so, whatever others do meanwhile.
        assert fits or study not in self.admitted
        try:
            ledger.reserve(study, PLANS[study], BUDGET)
        except BudgetExceededError:
            assert not fits
        else:
            assert fits
            self.admitted.add(study)

    @rule(study=st.sampled_from(sorted(PLANS)))
    def charge(self, study: str) -> None:
        round = self.charged[study] + 1
        if round > ROUNDS:
            return
        try:
            assert Ledger(self.path).charge(Charge(study, round, "m", PLANS[study][0]), BUDGET)
        except BudgetExceededError:
            assert study not in self.admitted, "a study that was admitted was ended by another"
        else:
            self.charged[study] = round

    @rule(study=st.sampled_from(sorted(PLANS)))
    def release(self, study: str) -> None:
        known = study in Ledger(self.path).reserved() or (study in self.admitted)
        assert reservations.release(self.path, study) <= known
        self.admitted.discard(study)

    @precondition(lambda self: self.admitted)
    @rule()
    def lose_the_file(self) -> None:
        """As an old backup does; studies that go on are admitted anew, or refused."""
        Path(f"{self.path}.reserved").unlink(missing_ok=True)
        self.admitted.clear()

    @rule(study=st.sampled_from(sorted(PLANS)), at=st.integers(0, 3))
    def die_while_reserving(self, study: str, at: int) -> None:
        """At the `at`-th time that something is forced to disk or renamed: the old file is there, or the new."""
        before, events = Ledger(self.path).reserved(), 0

        def count(_: int | None) -> None:
            nonlocal events
            events += 1
            if events > at:
                raise KilledError

        rename = Path.replace

        def replace(old: Path, new: Path) -> Path:
            count(None)
            return rename(old, new)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("os.fsync", count)
            patch.setattr(Path, "replace", replace)
            try:
                Ledger(self.path).reserve(study, PLANS[study], BUDGET)
            except (KilledError, BudgetExceededError):
                pass
            else:
                self.admitted.add(study)
        after = Ledger(self.path).reserved()
        assert set(before) <= set(after) <= {*before, study}
        if study in after:
            self.admitted.add(study)

    @invariant()
    def what_is_promised_fits_and_what_is_spent_is_not_less_for_it(self) -> None:
        if not hasattr(self, "folder"):
            return
        ledger = Ledger(self.path)
        spent, promised = ledger.spent(DELTA), ledger.promised(DELTA)
        assert spent <= promised * 1.005 or not ledger.reserved()
        assert promised <= BUDGET.epsilon
        # As if reservations did not exist: the rows alone say what was spent.
        bare = self.folder / "bare.jsonl"
        if self.path.exists():
            shutil.copy(self.path, bare)
            shutil.copy(f"{self.path}.head", f"{bare}.head")
            assert Ledger(bare).spent(DELTA) == spent
            bare.unlink()
            Path(f"{bare}.head").unlink()
        assert spent >= self.epsilon * 0.995
        self.epsilon = spent
        assert {study: len(rows) for study, rows in ledger.by_study().items()} == {
            study: number for study, number in self.charged.items() if number
        }


TestReservations = ReservationMachine.TestCase
TestReservations.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
