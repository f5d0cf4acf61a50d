"""The site's one worker dies or grows, and the site goes on; and what orchestrators ask the coordinator."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

START = ("-m", "fedgen_client.cli", "start", "--folder")
SECONDS = 180.0


def workers(folder: Path) -> list[int]:
    """Processes that work for a site."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"fedgen_client.worker" in words and str(folder).encode() in words:
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(coordinator, link, connected, exchange, processes, until) -> None:
    """Killed between messages nobody notices; killed within one, the coordinator is told and need not wait."""
    folder = coordinator.join()
    site = processes.start(folder.name, *START, str(folder))
    node = connected(folder)
    exchange([node], seconds=SECONDS)
    (first,) = workers(folder)

    def killed_within(worker: int) -> bool:
        def kill() -> None:
            until(lambda: _delivered(coordinator, node), "the message to reach the site", SECONDS)
            os.kill(worker, signal.SIGKILL)

        os.kill(worker, signal.SIGSTOP)
        (reply,) = exchange([node], seconds=SECONDS, meanwhile=kill)
        assert reply.has_error() == ("was killed" in processes.log(folder.name))
        return reply.has_error()

    os.kill(first, signal.SIGKILL)
    until(lambda: _ended(first), "the end of the worker")
    (reply,) = exchange([node], seconds=SECONDS)
    assert not reply.has_error()
    (second,) = workers(folder)
    assert second != first

    # Out of the queue the message is with the worker, or on its way there: then the next worker answers it, and is at
    # rest when it has, so that the site is there to fetch the next message: and so again.
    while not killed_within(second):
        (second,) = workers(folder)
    (reply,) = exchange([node], seconds=SECONDS)
    assert not reply.has_error()
    assert site.poll() is None and '"decision": "lost"' in (folder / "log.jsonl").read_text()


def _ended(process: int) -> bool:
    """Whether a process has ended, though its parent may not have looked yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _delivered(coordinator, node: int) -> bool:
    signed = node - 2**64 if node >= 2**63 else node
    with sqlite3.connect(coordinator.federation.paths.database, timeout=30) as database:
        (waiting,) = database.execute(
            "SELECT count(*) FROM message_ins WHERE dst_node_id = ? AND delivered_at = ''", (signed,)
        ).fetchone()
    return waiting == 0


@pytest.mark.slow
def test_a_worker_that_has_grown_is_replaced(
    coordinator, link, connected, exchange, processes, until
) -> None:
    folder = coordinator.join()
    site_file = folder / "site.yaml"
    # less than the worker has when it has just begun
    site_file.write_text(site_file.read_text().replace("worker_memory: null", "worker_memory: 100000000"))
    processes.start(folder.name, *START, str(folder))
    node = connected(folder)
    exchange([node], seconds=SECONDS)
    until(lambda: "had grown above runtime.worker_memory" in processes.log(folder.name), "its end", SECONDS)
    assert not workers(folder)
    (reply,) = exchange([node], seconds=SECONDS)
    assert not reply.has_error()


@pytest.mark.slow
def test_the_health_service_answers_orchestrators(coordinator, processes, tmp_path) -> None:
    """grpc.health.v1, on a port of this machine alone."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    config = coordinator.federation.paths.config
    before = config.read_text()
    coordinator.kill()
    config.write_text(before.replace("health_port: null", f"health_port: {port}"))
    coordinator.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        coordinator.kill()
        config.write_text(before)
        coordinator.start()
