"""The stream sends a part when it has changed and at no other time, and ends when it should."""

from __future__ import annotations

import asyncio
import json

import pytest

from fedgen.dashboard import stream
from fedgen.dashboard.render import PARTS, parts
from fedgen.errors import DataError
from fedgen.run.directory import RunDirectory
from tests.fedgen.dashboard.conftest import KEY, One, finished


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.0)


def told(frame: bytes) -> tuple[str, object]:
    event, data = frame.decode().removesuffix("\n\n").split("\n")
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def collected(looks, good=lambda: True) -> list[tuple[str, object]]:
    """All frames, for so many looks."""
    left = iter(looks)
    now: list[object] = []

    def ending() -> bool:
        now[:] = [next(left, None)]
        return now[0] is None

    def made():
        if isinstance(now[0], Exception):
            raise now[0]
        return now[0]

    async def read() -> list[bytes]:
        return [frame async for frame in stream.frames(made, good, ending)]

    first, *frames = asyncio.run(read())
    assert first.startswith(b"retry: ")
    return [told(frame) for frame in frames]


def test_only_what_changed_is_sent() -> None:
    frames = collected([{"a": "1", "b": "1"}, {"a": "1", "b": "1"}, {"a": "1", "b": "2\n"}])
    assert frames == [
        ("part", {"id": "a", "html": "1"}),
        ("part", {"id": "b", "html": "1"}),
        ("part", {"id": "b", "html": "2\n"}),
    ]


def test_a_quiet_stream_shows_that_it_is_alive() -> None:
    frames = collected([{"a": "1"}] * (2 * stream.QUIET_LOOKS + 1))
    assert [event for event, _ in frames] == ["part", "beat", "beat"]


def test_a_run_that_cannot_be_read_says_so_and_goes_on() -> None:
    frames = collected([{"a": "1"}, DataError("run.json is <damaged>."), {"a": "2"}])
    assert [value["id"] for _, value in frames] == ["a", "problem", "a"]  # type: ignore[index]
    assert "run.json is &lt;damaged&gt;." in frames[1][1]["html"]  # type: ignore[index]


def test_whose_token_is_void_is_told_and_nothing_more() -> None:
    assert collected([{"a": "1"}, {"a": "2"}], good=lambda: False) == [("left", {})]


def test_a_finished_round_changes_what_it_should(one: One, run: RunDirectory) -> None:
    def now() -> dict[str, str]:
        state = one.state(KEY)
        assert state is not None
        return dict(parts(state, one.events(KEY), "/page", True, "secret"))

    before = now()
    assert set(before) == set(PARTS)
    assert now() == before
    run.event(finished(3))
    after = now()
    assert {id for id in PARTS if before[id] != after[id]} == {
        "now",
        "actions",
        "sites",
        "phase",
        "curves",
        "log",
    }
