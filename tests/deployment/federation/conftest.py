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
#: A busy machine takes its time; nothing waits for so long where it need not.
SECONDS = 300.0


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
        self.newest: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, *command: str, besides: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env={**ENVIRONMENT, **(besides or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                # A test run started in the background ignores Ctrl-C, and its children would too.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        self.all.append(process)
        self.newest[name] = process
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


class Hospitals:
    """Hospitals with phantom patients and policies of their own, and the study that is meant for them.

    Args:
        study: text of the study file, with a phantom; it may name {seed}.
        approve: what the sites' policy says of approval.
    """

    def __init__(
        self, coordinator: Coordinator, processes: Processes, folder: Path, study: str, approve: str
    ) -> None:
        self.coordinator, self.processes, self.folder = coordinator, processes, folder
        # A study's name and seed tell it from the others of the same federation.
        self.seed = coordinator.joined
        (folder / "study.yaml").write_text(study.format(seed=self.seed))
        self.sites: dict[str, Path] = {}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.planted: dict[str, dict[str, str]] = {}
        self.at = ("--folder", str(coordinator.folder))
        self._build(approve)

    def _build(self, approve: str) -> None:
        from fedgen.data.phantom.write import phantom_sites, write_phantom_site
        from fedgen.study.load import load_study

        phantom = load_study(str(self.folder / "study.yaml"), ()).data.phantom
        for name in phantom_sites(phantom):
            data = self.folder / "data" / name
            write_phantom_site(data, phantom, name, 3)
            site = self.coordinator.join(data)
            text = (site / "site.yaml").read_text()
            for old, new in (
                ("maximum_epsilon: 10.0", "maximum_epsilon: 25.0"),
                ("delta: 1.0e-5", "delta: 1.0e-3"),
                ("minimum_cohort: 20", "minimum_cohort: 3"),
                ("largest_study_epsilon: 10.0", "largest_study_epsilon: 20.0"),
                ("approve: ask", f"approve: {approve}"),
            ):
                assert old in text
                text = text.replace(old, new)
            (site / "site.yaml").write_text(text)
            self.sites[site.name] = site

    def plant(self, name: str, instant: str) -> Path:
        """Let a site, or the conductor of the `run`, be killed at an instant of `planted`; the file shows that it was.

        Args:
            name: of the process.
            instant: WHEN:PATTERN.
        """
        mark = self.folder / f"{name}.killed"
        path = os.pathsep.join((str(Path(__file__).parent / "planted"), ENVIRONMENT["PYTHONPATH"]))
        self.planted[name] = {"KILL": f"{instant}:{mark}", "PYTHONPATH": path}
        return mark

    def start(self, name: str) -> None:
        """`fedgen-client start`."""
        command = ("-m", "fedgen_client.cli", "start", "--folder", str(self.sites[name]))
        self.running[name] = self.processes.start(name, *command, besides=self.planted.get(name))

    def kill(self, name: str) -> None:
        self.processes.kill(self.running[name])

    def conduct(self, command: str, *more: str) -> subprocess.Popen[bytes]:
        """`run` with these sites alone, or `resume`."""
        what = ("study.yaml", "--sites", ",".join(self.sites)) if command == "run" else ()
        called = ("-m", "fedgen_server.cli", command, *what, *more, *self.at, "--wait", "120")
        return self.processes.start("run", *called, besides=self.planted.get("run"))

    @property
    def run(self) -> Path:
        runs = (self.coordinator.folder / "runs").glob("*")
        (mine,) = [run for run in runs if f"seed: {self.seed}\n" in (run / "study.yaml").read_text()]
        return mine


@pytest.fixture
def hospitals(coordinator: Coordinator, processes: Processes, tmp_path: Path) -> Callable[..., Hospitals]:
    """`hospitals(study, approve="always")`: joined, none of them started."""

    def build(study: str, approve: str = "ask") -> Hospitals:
        return Hospitals(coordinator, processes, tmp_path, study, approve)

    return build


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
def connected(link: Any, processes: Processes) -> Callable[[Path], int]:
    """`connected(folder)`: wait for a site, as long as its process is there; its node id."""

    def wait(folder: Path) -> int:
        node = int(json.loads((folder / "membership.json").read_text())["node_id"])

        def there() -> bool:
            site = processes.newest.get(folder.name)
            assert site is None or site.poll() is None, processes.log(folder.name)
            return node in link.connected()

        wait_until(there, f"{folder.name} to connect")
        return node

    return wait


@pytest.fixture
def exchange(link: Any) -> Callable[..., list[Any]]:
    """`exchange(nodes, vector)`: a message to each node, and their replies; `meanwhile` is called between them."""
    from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

    def send(
        nodes, vector=None, *, seconds=180.0, other=None, wait=True, enough=None, meanwhile=lambda: None
    ):
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
        meanwhile()
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
