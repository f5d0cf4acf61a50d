"""Audits and evaluation at once: both are given, rows are told one at a time, and neither works on for nobody."""

from __future__ import annotations

import threading

import pytest

from fedgen.errors import DataError
from fedgen.evidence.assess import silent
from fedgen.evidence.side_by_side import side_by_side

DEADLINE = 30.0


def test_both_are_given_and_their_rows_are_told() -> None:
    rows: list[str] = []

    def part(name):
        def work(told):
            for number in range(50):
                told(f"{name} {number}")
            return name

        return work

    assert side_by_side(part("audit"), part("evaluation"), rows.append) == ("audit", "evaluation")
    for name in ("audit", "evaluation"):
        assert [row for row in rows if row.startswith(name)] == [f"{name} {number}" for number in range(50)]


def test_they_do_run_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=DEADLINE)

    def work(told):
        return meeting.wait()

    assert sorted(side_by_side(work, work, silent)) == [0, 1]


class _Endless:
    """Tells rows until it is stopped, and fails where nobody stops it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = threading.Event()

    def __call__(self, told):
        halt = threading.Event()
        try:
            for number in range(round(DEADLINE / 0.01)):
                told(str(number))
                self.begun.set()
                halt.wait(0.01)
        finally:
            self.ended.set()
        raise AssertionError("nobody stopped it")


def failing(error: BaseException, after: threading.Event):
    def work(told):
        assert after.wait(DEADLINE)
        raise error

    return work


@pytest.mark.parametrize("error", [DataError("scores are not finite"), RuntimeError("a defect")])
def test_where_one_fails_the_other_ends_and_its_error_is_the_one(error) -> None:
    for swapped in (False, True):
        other = _Endless()
        parts = [failing(error, other.begun), other]
        with pytest.raises(type(error), match=str(error)):
            side_by_side(*(reversed(parts) if swapped else parts), silent)
        assert other.ended.is_set()


def test_an_interrupt_ends_both() -> None:
    audit = _Endless()
    with pytest.raises(KeyboardInterrupt):
        side_by_side(audit, failing(KeyboardInterrupt(), audit.begun), silent)
    assert audit.ended.is_set()


def test_of_two_errors_the_audits_counts() -> None:
    failed = threading.Event()

    def audit(told):
        failed.set()
        raise DataError("of the audits")

    with pytest.raises(DataError, match="of the audits"):
        side_by_side(audit, failing(DataError("of the evaluation"), failed), silent)
