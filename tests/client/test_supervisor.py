"""A site at its post: what it says of itself, while nothing needs to be computed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedgen.flower.fleet import RejectedError, WaitingMessage
from fedgen.run.journal import Journal
from fedgen_client import supervisor
from fedgen_client.folder import SiteFolder
from fedgen_client.supervisor import HEARTBEAT_SECONDS, Supervisor
from fedgen_client.told import AboutAnswer, AboutTask, Told
from fedgen_client.workshop import Worked

STUDY = "a" * 64


class AnswersAtOnce:
    """A worker without a process."""

    running = False

    def __init__(self, *_: Any) -> None:
        return

    def answer(self, *_: Any) -> Worked:
        about: dict[str, Any] = {"study": STUDY, "kind": "train_masked", "round": 2}
        told = Told(task=AboutTask(**about), answer=AboutAnswer(**about, decision="answered"))
        return Worked(b"header", b"tree", {"0": b"content"}, 0.0, told)

    def rest(self) -> bool:
        return False

    def end(self) -> None:
        return


class OneMessage:
    """A connection with one message after a while, whose run ends while it is answered where `gone`."""

    def __init__(self, gone: bool = False) -> None:
        self.gone = gone
        self.waiting: list[WaitingMessage | None] = [WaitingMessage(1, "b" * 64, b"header", ()), *20 * [None]]

    def connect(self) -> None:
        return

    def receive(self) -> WaitingMessage | None:
        return self.waiting.pop() if self.waiting else None

    def pull(self, *_: Any) -> None:
        return

    def send(self, *_: Any) -> None:
        if self.gone:
            raise RejectedError("The coordinator does not take it.")

    confirm = send

    def heartbeat(self) -> bool:
        return True

    def close(self) -> None:
        return


class Moment(threading.Event):
    """Nobody sleeps but the heartbeat: the clock goes on with every wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        if timeout == HEARTBEAT_SECONDS:
            return super().wait(timeout)
        self.now += timeout or 0.0
        return self.is_set()


@pytest.fixture
def serve(member: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """`serve(fleet, seconds)`: let the site work for so many seconds of its clock; what `status.json` says then."""
    monkeypatch.setattr(supervisor, "Worker", AnswersAtOnce)

    def run(fleet: Any, seconds: float) -> dict[str, Any]:
        moment, told = Moment(), []
        monkeypatch.setattr(supervisor, "time", moment)

        def done() -> bool:
            told[:] = [json.loads(member.status.read_text())]
            return moment.now > 1000.0 + seconds

        Supervisor(member, fleet, lambda: None, lambda: None, lambda said: None, moment).serve(done)
        return dict(told[0])

    return run


@pytest.mark.parametrize("gone", [False, True])
def test_a_site_that_waits_does_not_say_that_it_works(
    serve: Callable[..., dict[str, Any]], gone: bool
) -> None:
    said = serve(OneMessage(gone), 200.0)
    assert said["state"] == "waiting"


def test_a_site_that_refuses_is_not_at_work(serve: Callable[..., dict[str, Any]], monkeypatch: Any) -> None:
    about: dict[str, Any] = {"study": STUDY, "kind": "describe"}
    answer = AboutAnswer(**about, decision="refused", reason="Nobody has approved it.")
    told = Told(task=AboutTask(**about), answer=answer)
    monkeypatch.setattr(AnswersAtOnce, "answer", lambda *_: Worked(b"", b"", {}, 0.0, told))
    seen: list[tuple[str, float]] = []

    def write(path: Path, text: bytes) -> None:
        seen.append((json.loads(text)["state"], supervisor.time.monotonic()))
        path.write_bytes(text)

    monkeypatch.setattr(supervisor, "write_atomic", write)
    serve(OneMessage(), 200.0)
    assert [state for state, _ in seen[:3]] == ["waiting", "working", "waiting"]
    assert seen[1][1] == seen[2][1], "not only with the next rest"


def test_a_message_whose_run_has_ended_is_no_refusal_of_the_site(
    serve: Callable[..., dict[str, Any]], member: SiteFolder
) -> None:
    serve(OneMessage(gone=True), 200.0)
    events = [entry["event"] for entry in Journal(member.log).entries()]
    assert events[-4:] == ["received", "sent", "undelivered", "turned_away"]
