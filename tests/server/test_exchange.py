"""The exchange of a real run over a grid that a test holds: who is given up, when, and who is believed."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from flwr.app import Message

from fedgen.errors import FederationError
from fedgen.federation.exchange.flower import pack
from fedgen.protocol.messages import Describe, Refusal, SiteDescription
from fedgen.protocol.wire import encode_answer
from fedgen_server import exchange as module
from fedgen_server.exchange import FleetExchange

NODES = {"east": 10, "north": 20}
TASK = Describe(study_sha256="0" * 64, round=1)


def description(site: str) -> SiteDescription:
    return SiteDescription(
        site=site,
        patients=9,
        sampling_rate=0.5,
        noise_multiplier=0.0,
        steps_per_round=0,
        epsilon=None,
        epsilon_rdp=None,
    )


class Grid:
    """What `Link` offers; `answers[node]` makes the reply of a node, or None for silence."""

    def __init__(self, answers) -> None:
        self.answers = answers
        self.since = {node: datetime.now(UTC) - timedelta(hours=1) for node in NODES.values()}
        self.sent: dict[str, Message] = {}

    def connected(self):
        return dict(self.since)

    def push(self, messages):
        ids = []
        for message in messages:
            name = f"{message.metadata.dst_node_id}-{len(self.sent)}"
            message.metadata.__dict__["_message_id"] = name
            self.sent[name] = message
            ids.append(name)
        return ids

    def pull(self, ids):
        replies = []
        for name in list(ids):
            message = self.sent.get(name)
            answer = None if message is None else self.answers[message.metadata.dst_node_id]()
            if answer is not None:
                del self.sent[name]
                replies.append(Message(pack(*encode_answer(answer)), reply_to=message))
        return replies


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    monkeypatch.setattr(module, "PRESENCE_SECONDS", 0.05)


def stream(grid, deadline=5.0, serving=lambda: True, stop=None):
    exchange = FleetExchange(grid, NODES, stop or threading.Event(), serving)
    exchange.sites()
    return dict(exchange.stream(dict.fromkeys(NODES, TASK), deadline))


def test_answers_come_under_the_names_of_the_roster() -> None:
    grid = Grid({10: lambda: description("east"), 20: lambda: description("north")})
    assert stream(grid) == {site: description(site) for site in NODES}


def test_nobody_answers_for_another() -> None:
    grid = Grid({10: lambda: description("north"), 20: lambda: description("north")})
    answers = stream(grid)
    assert isinstance(answers["east"], Refusal) and "in the name of another" in answers["east"].reason
    assert answers["north"] == description("north")


def test_a_site_that_went_away_is_not_waited_for() -> None:
    grid = Grid({10: lambda: description("east"), 20: lambda: grid.since.pop(20, None) and None})
    started = time.monotonic()
    answers = stream(grid, deadline=60.0)
    assert time.monotonic() - started < 30
    assert isinstance(answers["north"], Refusal) and "connection to it was lost" in answers["north"].reason


def test_a_site_that_came_back_as_another_process_is_not_waited_for() -> None:
    def restart():
        grid.since[20] = datetime.now(UTC) + timedelta(seconds=1)

    grid = Grid({10: lambda: description("east"), 20: restart})
    assert "it was restarted" in stream(grid, deadline=60.0)["north"].reason


def test_a_silent_site_is_absent_after_the_deadline() -> None:
    grid = Grid({10: lambda: description("east"), 20: lambda: None})
    assert stream(grid, deadline=0.3) == {"east": description("east")}


def test_while_the_server_is_away_no_site_is_given_up() -> None:
    """Without the server nobody's signs of life arrive, and after a minute all would count as lost."""
    returns = []
    grid = Grid(
        {
            10: lambda: description("east"),
            20: lambda: description("north") if time.monotonic() > returns[0] + 0.3 else None,
        }
    )
    known = grid.connected()
    exchange = FleetExchange(
        grid, NODES, threading.Event(), lambda: not returns or time.monotonic() > returns[0]
    )
    assert exchange.sites() == ["east", "north"]
    returns.append(time.monotonic() + 0.6)
    grid.connected = lambda: known if time.monotonic() > returns[0] + 0.2 else {}
    # the deadline counts the time that the server is there
    answers = dict(exchange.stream(dict.fromkeys(NODES, TASK), 0.7))
    assert answers == {site: description(site) for site in NODES}


def test_a_server_that_stays_away_ends_the_run(monkeypatch) -> None:
    monkeypatch.setattr(module, "SERVER_SECONDS", 0.2)
    grid = Grid({10: lambda: None, 20: lambda: None})
    with pytest.raises(FederationError, match="The server has been away for 0 s: start it"):
        stream(grid, serving=lambda: False)


def test_a_stopped_run_ends_its_waits() -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    grid = Grid({10: lambda: None, 20: lambda: None})
    with pytest.raises(FederationError, match="was stopped"):
        stream(grid, deadline=60.0, stop=stop)
