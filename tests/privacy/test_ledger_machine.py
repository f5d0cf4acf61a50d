"""The ledger under any sequence of spending, crashing, reopening, a second process and tampering.

After every step: whoever was told that a row is charged finds it there, nothing is charged twice, the epsilon is
never below what was really spent by an independent accountant, and it never falls.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from dp_accounting import ComposedDpEvent, GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fedgen_privacy.accounting import PRV_RELATIVE_ERROR, Spend
from fedgen_privacy.errors import PrivacyRefusedError
from fedgen_privacy.ledger import Budget, BudgetExceededError, Charge, Ledger

DELTA = 1e-3
#: Few, so that accountants are asked the same again.
MECHANISMS = {"a": Spend(2.0, 0.3, 3), "b": Spend(4.0, 1.0, 2)}

charges = st.builds(
    lambda study, round, model: Charge(study, round, model, MECHANISMS[study]),
    st.sampled_from(sorted(MECHANISMS)),
    st.integers(1, 4),
    st.sampled_from(["m", "n"]),
)


@functools.cache
def really_spent(steps: tuple[tuple[Spend, int], ...]) -> float:
    """Epsilon by dp-accounting's privacy loss distributions, to within their discretisation."""
    if not steps:
        return 0.0
    accountant = PLDAccountant(value_discretization_interval=1e-3)
    events = [
        SelfComposedDpEvent(
            PoissonSampledDpEvent(spend.sampling_rate, GaussianDpEvent(spend.noise_multiplier)),
            spend.steps * n,
        )
        for spend, n in steps
    ]
    accountant.compose(ComposedDpEvent(events))
    return float(accountant.get_epsilon(DELTA)) * 0.999


class Killed(BaseException):
    """The process dies: no handler of the code under test runs on the disk's behalf."""


class LedgerMachine(RuleBasedStateMachine):
    """One folder, a process that uses it, and what that process was promised."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "ledger.jsonl"
        self.ledger = Ledger(self.path)
        self.promised: dict[tuple[str, int, str], Charge] = {}
        self.unsure: dict[tuple[str, int, str], Charge] = {}
        self.epsilon = 0.0

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule(charge=charges, other_process=st.booleans())
    def charge(self, charge: Charge, other_process: bool) -> None:
        ledger = Ledger(self.path) if other_process else self.ledger
        made = ledger.charge(charge)
        assert made or charge.key in self.promised or charge.key in self.unsure
        assert not (made and charge.key in self.promised)
        self.promised[charge.key] = charge
        self.unsure.pop(charge.key, None)

    @rule(charge=charges, limit=st.floats(0.3, 3))
    def charge_under_a_budget(self, charge: Charge, limit: float) -> None:
        budget, known = Budget(limit, DELTA), {row.key for row in Ledger(self.path)}
        try:
            self.ledger.charge(charge, budget)
        except BudgetExceededError:
            assert charge.key not in known
            studies = Ledger(self.path).by_study()
            charged = len(studies.get(charge.study, []))
            plan = [MECHANISMS[charge.study]] * (charged + 1)
            assert self.ledger.after(plan, DELTA, charge.study) > limit
        else:
            assert charge.key in known or self.ledger.spent(DELTA) <= limit
            self.promised[charge.key] = charge
            self.unsure.pop(charge.key, None)

    @rule(charge=charges, at=st.integers(0, 7), cut=st.floats(0, 1))
    def die_while_charging(self, charge: Charge, at: int, cut: float) -> None:
        """At the `at`-th time that something is forced to disk or renamed; an unforced line may be there in part."""
        before = self.path.stat().st_size if self.path.exists() else 0
        events = 0
        forced = False

        def count(handle: int | None) -> None:
            nonlocal events, forced
            events += 1
            if events > at:
                raise Killed
            if handle is not None:
                forced |= Path(f"/proc/self/fd/{handle}").readlink() == self.path

        rename = Path.replace

        def replace(old: Path, new: Path) -> Path:
            count(None)
            return rename(old, new)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("os.fsync", count)
            patch.setattr(Path, "replace", replace)
            try:
                self.ledger.charge(charge)
            except Killed:
                self.unsure[charge.key] = charge
            else:
                self.promised[charge.key] = charge
                self.unsure.pop(charge.key, None)
        after = self.path.stat().st_size if self.path.exists() else 0
        if after > before and not forced:
            os.truncate(self.path, before + round(cut * (after - before)))
        self.reopen()

    @rule()
    def reopen(self) -> None:
        self.ledger = Ledger(self.path)

    @precondition(lambda self: self.promised)
    @rule(
        how=st.sampled_from(["flip", "remove", "insert", "swap", "cut", "tear", "no ledger", "no head"]),
        where=st.floats(0, 1, exclude_max=True),
        bit=st.integers(0, 7),
    )
    def tamper(self, how: str, where: float, bit: int) -> None:
        """Seen at once by whoever opens it; then the files are restored."""
        content, head = self.path.read_bytes(), (self.folder / "ledger.jsonl.head").read_bytes()
        rows = list(Ledger(self.path))
        # What a crash left may go unseen; the rows somebody was told of may not.
        known = len(rows) - sum(row.key in self.unsure for row in rows)
        finished = content[: content.rfind(b"\n") + 1]
        lines = finished.splitlines(keepends=True)[:known]
        place = int(where * known)
        changed = bytearray(b"".join(lines))
        if how == "flip":
            changed[int(where * len(changed))] ^= 1 << bit
        elif how == "remove":
            changed = bytearray(b"".join(lines[:place] + lines[place + 1 :]))
        elif how == "insert":
            changed = bytearray(b"".join([*lines[:place], lines[-1], *lines[place:]]))
        elif how == "swap":
            place = min(place, known - 2)
            if place >= 0:
                lines[place], lines[place + 1] = lines[place + 1], lines[place]
                changed = bytearray(b"".join(lines))
        elif how == "cut":
            changed = bytearray(b"".join(lines[:place]))
        elif how == "tear":
            changed = changed[: int(where * len(changed))]
        if how == "no ledger":
            self.path.unlink()
        else:
            self.path.write_bytes(changed)
        if how == "no head":
            (self.folder / "ledger.jsonl.head").unlink()
        try:
            seen = list(Ledger(self.path))
        except PrivacyRefusedError:
            pass
        else:
            # A flip between blank and tab, or a lone row "swapped": the same rows.
            assert how in ("flip", "swap")
            assert seen == rows[:known]
        self.path.write_bytes(content)
        (self.folder / "ledger.jsonl.head").write_bytes(head)

    @invariant()
    def what_was_promised_is_there_once(self) -> None:
        if not hasattr(self, "folder"):
            return
        rows = list(Ledger(self.path))
        keys = [row.key for row in rows]
        assert len(keys) == len(set(keys))
        assert set(self.promised) <= set(keys) <= set(self.promised) | set(self.unsure)

    @invariant()
    def epsilon_is_never_below_what_was_spent_and_never_falls(self) -> None:
        if not hasattr(self, "folder"):
            return
        ledger = Ledger(self.path)
        epsilon = ledger.spent(DELTA)
        steps = Counter(row.spend for row in self.promised.values())
        assert epsilon >= really_spent(
            tuple((spend, steps[spend]) for spend in MECHANISMS.values() if steps[spend])
        )
        assert epsilon >= self.epsilon * (1 - PRV_RELATIVE_ERROR)
        assert (epsilon == 0) == (not list(ledger))
        # Rows that were never promised may still vanish from a file that was not forced to disk.
        self.epsilon = epsilon if not self.unsure else min(self.epsilon, epsilon)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
