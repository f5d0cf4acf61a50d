"""A run with trackers goes on whatever they do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fedgen.errors import StudyError
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Aborted, Done, Interrupted
from fedgen.tracking import follow
from fedgen.tracking.follow import tracking
from fedgen.tracking.registry import TrackerChoice, tracker_choice, tracker_names

HERE = TrackerChoice("remembering", None)


@pytest.fixture
def followed(run: RunDirectory, remembering, monkeypatch) -> Callable[..., Any]:
    """`followed(tracker, work)`: the tracker, and what was said, after `work` was done while it followed the run."""

    def do(tracker: Any, work: Callable[[], object] = lambda: None, left: float = 30.0) -> list[str]:
        monkeypatch.setattr(follow, "POLL", 0.01)
        kind = type("Kind", (), {"open": staticmethod(lambda run, where: tracker)})
        monkeypatch.setattr(follow, "tracker_class", lambda name: kind)
        said: list[str] = []
        with tracking(run, [HERE], said.append, left):
            work()
        return said

    return do


def test_what_was_there_and_what_comes_is_told(run, remembering, followed) -> None:
    tracker = remembering()
    assert followed(tracker, lambda: run.event(Done())) == []
    assert [step for step, _ in tracker.scalars] == [1, 2, 2]
    assert tracker.closed == ["done"]


@pytest.mark.parametrize(
    ("event", "status"), [(Interrupted(), "interrupted"), (Aborted(reason="x", code=5), "failed")]
)
def test_how_a_run_ended(run, remembering, followed, event, status) -> None:
    tracker = remembering()
    followed(tracker, lambda: run.event(event))
    assert tracker.closed == [status]


def test_a_tracker_that_fails_is_one_sentence(run, remembering, followed) -> None:
    tracker = remembering(fails=ConnectionError("refused\nby the server"))
    done: list[str] = []
    (sentence,) = followed(tracker, lambda: done.append("the run"))
    assert done == ["the run"]
    assert sentence == (
        "WARNING: The tracker remembering failed and is told nothing more; the run goes on "
        "(ConnectionError: refused by the server)."
    )
    assert tracker.closed == []


def test_a_tracker_that_hangs_is_left_behind(remembering, followed) -> None:
    let_go = threading.Event()

    class Hanging(remembering):
        def numbers(self, values: Any, step: int) -> None:
            let_go.wait(60)

    begun = time.monotonic()
    (sentence,) = followed(Hanging(), left=0.1)
    let_go.set()
    assert "is left behind" in sentence
    assert time.monotonic() - begun < 30


def test_an_error_of_the_run_is_its_own(run, remembering, followed) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    tracker = remembering()
    with pytest.raises(KeyboardInterrupt):
        followed(tracker, fail)
    assert tracker.closed == ["done"], "as the journal has it: this run had been done before"


@pytest.fixture
def without_tensorboard(monkeypatch) -> Iterator[None]:
    import sys

    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "fedgen.tracking.trackers.tensorboard", raising=False)
    yield


def test_what_is_not_installed_says_how_to_install_it(without_tensorboard) -> None:
    with pytest.raises(StudyError, match=r"pip install 'fedgen\[tensorboard\]'"):
        tracker_choice("tensorboard")


def test_each_tracker_has_an_extra_of_its_name() -> None:
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert {*tracker_names()} == {"mlflow", "tensorboard"} <= {*project["optional-dependencies"]}
