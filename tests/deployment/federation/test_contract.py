"""Every private name of Flower's that fedgen.flower uses, against the real SuperLink of the pinned version.

A new version of Flower that fails here needs `fedgen.flower` adapted, and nothing else. The sites are real, but for
their worker, which sends back what came.
"""

from __future__ import annotations

import json
import threading
from importlib.metadata import version

import numpy as np
import pytest


def test_this_is_the_version_that_was_examined() -> None:
    assert version("flwr").startswith("1.42.")


def test_numbers_come_back_as_they_went(coordinator, link, echo, exchange, connected) -> None:
    """From none to several of Flower's chunks of 5 MiB, to two sites at once."""
    folders = [coordinator.join(), coordinator.join()]
    for folder in folders:
        echo(folder)
    ids = [connected(folder) for folder in folders]
    assert len(set(ids)) == 2
    rng = np.random.default_rng(0)
    for size in (None, 1, 10_000, 1_500_000):
        vector = None if size is None else rng.normal(size=size).astype(np.float32)
        for reply in exchange(ids, vector):
            assert not reply.has_error()
            if vector is not None:
                assert np.array_equal(reply.content.array_records["arrays"]["vector"].numpy(), vector)


def test_a_site_keeps_its_node_over_restarts_and_is_back_at_once(
    coordinator, link, echo, exchange, connected, processes
) -> None:
    """After kill -9 Flower counts it as connected for a minute, and would not let it connect again."""
    folder = coordinator.join()
    first = echo(folder)
    node = connected(folder)
    (reply,) = exchange([node])
    processes.kill(first)
    echo(folder)
    (reply,) = exchange([node], seconds=50.0)
    assert not reply.has_error()
    assert node == json.loads((folder / "membership.json").read_text())["node_id"]


def test_a_site_that_comes_back_is_never_away_in_between(coordinator, link) -> None:
    """It took two requests once, and a run that asked between them was told that the site is gone."""
    from fedgen.flower.fleet import Fleet
    from fedgen_client.coordinator import pinned_ca
    from fedgen_client.folder import SiteFolder
    from fedgen_client.trust import pinned

    folder = SiteFolder(coordinator.join())
    member, trusted = folder.membership(), pinned(pinned_ca(folder))
    before, after = (
        Fleet(member.address, trusted, folder.node_private_pem(), member.node_id) for _ in range(2)
    )
    before.connect()
    since = link.connected()[member.node_id]
    away = []

    def look() -> None:
        while not done.is_set():
            away.append(member.node_id not in link.connected())

    done = threading.Event()
    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(20):
            after.connect()
    finally:
        done.set()
        looker.join()
    assert away and not any(away)
    assert link.connected()[member.node_id] > since


@pytest.mark.slow
def test_messages_outlive_the_server(coordinator, link, echo, exchange, connected, processes, until) -> None:
    """kill -9 of the server; sites and run find it again by themselves."""
    folder = coordinator.join()
    echo(folder)
    node = connected(folder)
    coordinator.kill()
    until(lambda: "does not answer" in processes.log(folder.name), "the site's notice")
    coordinator.start()
    (reply,) = exchange([node])
    assert not reply.has_error()


@pytest.mark.slow
@pytest.mark.parametrize("vector", [None, 100])
def test_a_message_whose_run_has_ended_disturbs_nobody(
    coordinator, link, echo, exchange, connected, vector
) -> None:
    from threading import Event

    from fedgen.flower.link import Link

    folder = coordinator.join()
    echo(folder, "--slow", "1.0")
    node = connected(folder)
    other = Link(coordinator.federation.paths.database, Event())
    try:
        exchange([node], other=other, wait=False)
    finally:
        other.close(False)
    (reply,) = exchange([node])
    assert not reply.has_error()


def test_a_reply_whose_sender_died_half_way_holds_nobody_up(
    coordinator, link, echo, exchange, connected, monkeypatch
) -> None:
    """Flower's own grid would wait two hours for the parts that never come, and all other replies with it."""
    folders = [coordinator.join(), coordinator.join()]
    echo(folders[0], "--half")
    echo(folders[1], "--slow", "2.0")
    half, whole = [connected(folder) for folder in folders]
    replies = exchange([half, whole], np.zeros(10, np.float32), enough=1, seconds=180.0)
    assert [reply.metadata.src_node_id for reply in replies] == [whole]
