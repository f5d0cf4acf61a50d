"""A simulation with a page: stopped by the page it can go on, in another process; anything else ends as without one."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from rich.console import Console

from fedgen.cli import with_page
from fedgen.cli.with_page import run_with_page
from fedgen.dashboard import local
from fedgen.dashboard.local import OwnRun
from fedgen.errors import DataError, FederationError
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.run.signals import interrupt

KEY = "0" * 16


@pytest.fixture
def here(tmp_path, tiny_study, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A simulation whose page is not served, and the run that the page watches."""
    made: list[OwnRun] = []

    @contextmanager
    def shown(watched: OwnRun, port: int) -> Iterator[str]:
        made.append(watched)
        yield "link"

    monkeypatch.setattr(local, "shown", shown)
    before = signal.signal(signal.SIGTERM, interrupt)
    monkeypatch.setattr(Recipe, "of", lambda study: SimpleNamespace(sha256=KEY))
    yield SimpleNamespace(path=tmp_path, study=tiny_study(), watched=made)
    signal.signal(signal.SIGTERM, before)


def start(here: SimpleNamespace, run: Callable[[], None]) -> None:
    run_with_page(here, Console(quiet=True), 0, run)


def stop(here: SimpleNamespace) -> None:
    """As the page does it, and then what an interrupted wait does."""
    here.watched[0].stop(KEY, "who")
    threading.Event().wait(5)


def test_what_the_page_stopped_goes_on_in_another_process_until_it_is_done(here, monkeypatch) -> None:
    told: list[str] = []

    def resuming(run: RunDirectory) -> list[str]:
        told.append("resumed")
        return [sys.executable, "-c", "raise SystemExit(0)"]

    def waited(self, seconds: float) -> bool:
        # Somebody resumes it once, and presses Ctrl-C when it is done.
        if told:
            raise KeyboardInterrupt
        here.watched[0].resume(KEY, "who")
        return True

    monkeypatch.setattr(with_page, "resuming", resuming)
    monkeypatch.setattr(local, "threading", SimpleNamespace(Event=_event(waited)))
    start(here, lambda: stop(here))
    assert told == ["resumed"]


def _event(waited: Callable[..., bool]) -> type:
    """Events of the page: the one of `resume` is waited for without waiting."""

    class Event:
        def __init__(self) -> None:
            self._set = False

        def set(self) -> None:
            self._set = True

        def clear(self) -> None:
            self._set = False

        def is_set(self) -> bool:
            return self._set

        wait = waited

    return Event


def test_an_interrupt_by_a_person_ends_the_program(here) -> None:
    def run() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(here, run)


def test_a_failure_is_told_as_without_a_page(here) -> None:
    def run() -> None:
        raise DataError("The images are gone: mount them.")

    with pytest.raises(DataError, match="mount them"):
        start(here, run)


def test_what_does_not_run_is_not_stopped_and_what_runs_is_not_resumed(here, tmp_path) -> None:
    watched = OwnRun(RunDirectory(tmp_path), here.study, KEY)
    with pytest.raises(FederationError, match="does not go on"):
        watched.stop(KEY, "who")
    with watched.running(), pytest.raises(FederationError, match="goes on already"):
        watched.resume(KEY, "who")
    assert watched.state("f" * 16) is None
