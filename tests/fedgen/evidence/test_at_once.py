"""Sites that assess at once: all answers come, reports come one at a time, and nobody works on for nobody."""

from __future__ import annotations

import threading

import pytest

from fedgen.errors import DataError
from fedgen.evidence.abandoned import AbandonedError
from fedgen.evidence.assess import silent
from fedgen.evidence.at_once import at_once
from fedgen.evidence.telling import Telling
from fedgen.evidence.workers import workers

DEADLINE = 30.0


@pytest.fixture(autouse=True)
def two_cores(monkeypatch) -> None:
    monkeypatch.setattr("fedgen.evidence.workers.cores", lambda: 2)


def test_all_answers_come_with_their_names() -> None:
    asked = {name: (lambda name=name: name.upper()) for name in "abcde"}
    assert dict(at_once(asked, Telling())) == {name: name.upper() for name in "abcde"}


def test_two_work_at_the_same_time_and_who_is_done_first_is_told_first() -> None:
    meeting, late = threading.Barrier(2, timeout=DEADLINE), threading.Event()

    def slow() -> str:
        meeting.wait()
        assert late.wait(DEADLINE)
        return "slow"

    def quick() -> str:
        meeting.wait()
        return "quick"

    found = at_once({"slow": slow, "quick": quick}, Telling())
    assert next(found) == ("quick", "quick")
    late.set()
    assert list(found) == [("slow", "slow")]


def test_reports_come_one_at_a_time() -> None:
    inside, rows = threading.Lock(), []

    def progress(title: str) -> None:
        assert inside.acquire(blocking=False), "two reports at once"
        rows.append(title)
        inside.release()

    telling = Telling()

    def work() -> None:
        told = telling.through(progress)
        for number in range(200):
            told(str(number))

    list(at_once({"a": work, "b": work}, telling))
    assert sorted(rows) == sorted(2 * [str(number) for number in range(200)])


def endless(telling: Telling, begun: threading.Event, ended: threading.Event):
    def work() -> None:
        told, halt = telling.through(silent), threading.Event()
        try:
            for number in range(round(DEADLINE / 0.01)):
                told(str(number))
                begun.set()
                halt.wait(0.01)
        except AbandonedError:
            ended.set()
            raise

    return work


def test_where_one_fails_the_other_ends_and_its_error_is_the_one() -> None:
    telling, begun, ended = Telling(), threading.Event(), threading.Event()

    def fail() -> None:
        assert begun.wait(DEADLINE)
        raise DataError("scores are not finite")

    work = {"a": endless(telling, begun, ended), "b": fail}
    with pytest.raises(DataError, match="not finite"):
        list(at_once(work, telling))
    assert ended.is_set()


def test_whoever_no_longer_reads_ends_the_work() -> None:
    telling, begun, ended = Telling(), threading.Event(), threading.Event()
    found = at_once({"a": lambda: "done", "b": endless(telling, begun, ended)}, telling)
    assert next(found) == ("a", "done")
    assert begun.wait(DEADLINE)
    found.close()
    assert ended.is_set()


def test_what_was_given_to_workers_is_not_begun_any_more() -> None:
    """Networks are trained between two reports, for longer than somebody who pressed Ctrl-C wants to wait."""
    telling, begun, go_on, done = Telling(), threading.Event(), threading.Event(), []

    def network(number: int) -> None:
        begun.set()
        assert go_on.wait(DEADLINE)
        done.append(number)

    def site() -> None:
        with workers() as pool:
            for each in [pool.submit(network, number) for number in range(50)]:
                each.result()

    def fail() -> None:
        assert begun.wait(DEADLINE)
        telling.over.set()
        go_on.set()
        raise DataError("scores are not finite")

    with pytest.raises(DataError, match="not finite"):
        list(at_once({"a": site, "b": fail}, telling))
    assert len(done) <= 2


def test_what_is_abandoned_is_no_failure_of_the_work() -> None:
    """A site writes failures down, and somebody who pressed Ctrl-C would find one."""
    assert not issubclass(AbandonedError, Exception)
