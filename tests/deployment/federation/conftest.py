"""Real processes on loopback: a coordinator's server, sites, and commands; nothing outlives its test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parents[3]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(REPO / place) for place in (".", "privacy", "client", "server")),
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "200",
}
SECONDS = 120.0


def wait_until(condition: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Processes:
    """Processes of a test, each in a session of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.all: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                # A test run started in the background ignores Ctrl-C, and its children would too.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        self.all.append(process)
        return process

    def run(self, *command: str, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """kill -9 of the process and of all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)

    def end(self) -> None:
        for process in self.all:
            self.kill(process)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    found = Processes(tmp_path)
    yield found
    found.end()


class Coordinator:
    """A federation's folder and the server over it."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        from fedgen_server.folder import Federation

        self.processes, self.folder, self.joined = processes, folder, 0
        self.port = free_port()
        self.federation = Federation.create(
            folder, name="test", address=f"127.0.0.1:{self.port}", host="127.0.0.1"
        )
        self.server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.server = self.processes.start(
            "server", "-m", "fedgen_server.cli", "start", "--folder", str(self.folder)
        )
        wait_until(self.serves, "the server")

    def kill(self) -> None:
        assert self.server is not None
        self.processes.kill(self.server)

    def serves(self) -> bool:
        assert self.server is None or self.server.poll() is None, self.processes.log("server")
        trusted = ssl.create_default_context(cafile=str(self.federation.paths.ca))
        with contextlib.suppress(OSError):
            url = f"https://127.0.0.1:{self.port}/fedgen/v1/health"
            return json.load(urllib.request.urlopen(url, context=trusted, timeout=5))["status"] == "ok"
        return False

    def join(self, data: Path | None = None) -> Path:
        """The folder of a new site, joined."""
        from fedgen.protocol.invitation import encode_invitation
        from fedgen_client.enrol import join
        from fedgen_client.folder import SiteFolder

        self.joined += 1
        name = f"site-{self.joined}"
        folder = self.folder.parent / name
        join(SiteFolder(folder), encode_invitation(self.federation.invite(name, 1.0)), data)
        return folder


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """A federation that serves; one for all tests of a file, each with sites of its own."""
    folder = tmp_path_factory.mktemp("federation")
    found = Coordinator(Processes(folder), folder / "coordinator")
    found.start()
    yield found
    found.processes.end()


@pytest.fixture
def echo(processes: Processes) -> Callable[..., subprocess.Popen[bytes]]:
    """`echo(folder, "--clock", "86400")`: a site that answers at once with what came."""

    def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
        return processes.start(
            folder.name, str(Path(__file__).parent / "echo_site.py"), str(folder), *options
        )

    return start


@pytest.fixture
def link(coordinator: Coordinator) -> Iterator[Any]:
    """A run over the coordinator's database."""
    from fedgen.flower.link import Link

    found = Link(coordinator.federation.paths.database, threading.Event())
    yield found
    found.close(True)


@pytest.fixture
def until() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def connected(link: Any) -> Callable[[Path], int]:
    """`connected(folder)`: wait for a site; its node id."""

    def wait(folder: Path) -> int:
        node = int(json.loads((folder / "membership.json").read_text())["node_id"])
        wait_until(lambda: node in link.connected(), f"{folder.name} to connect")
        return node

    return wait


@pytest.fixture
def exchange(link: Any) -> Callable[..., list[Any]]:
    """`exchange(nodes, vector)`: a message to each node, and their replies."""
    from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

    def send(nodes, vector=None, *, seconds=60.0, other=None, wait=True, enough=None):
        used = other or link
        from flwr.supercore.task_identity import TaskIdentity

        TaskIdentity.run_id = used.run_id
        messages = []
        for node in nodes:
            content = RecordDict({"message": ConfigRecord({"json": "{}"})})
            if vector is not None:
                content["arrays"] = ArrayRecord({"vector": Array(vector)})
            messages.append(Message(content, dst_node_id=node, message_type="query.fedgen", ttl=120.0))
        waiting = set(used.push(messages))
        replies: list[Any] = []

        def all_came() -> bool:
            for reply in used.pull(waiting):
                waiting.discard(reply.metadata.reply_to_message_id)
                replies.append(reply)
            return not waiting or len(replies) == enough

        if wait:
            wait_until(all_came, "the replies", seconds)
        return replies

    return send
