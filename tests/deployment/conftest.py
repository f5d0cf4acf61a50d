"""`fedgen` as real processes with Ray, on the smallest study; nothing it started may outlive a test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

REPO = Path(__file__).parents[2]
STUDY = """
study: {name: tiny, seed: 3}
data:
  modality: T1w
  image_size: [16, 16]
  images_per_patient: 2
  phantom: {sites: 3, patients: 12}
model:
  family: vae
  vae: {channels: [4, 8], latent_size: 4}
training: {rounds: 2, local_steps: 2, batch_patients: 3}
privacy: {epsilon: 20, delta: 1.0e-3}
aggregation: {minimum_sites: 3, weight_cap: 16}
synthesis: {images: 12}
audit: {bootstrap: 100}
evaluation: {extractors: [radiomics], seeds: 1, steps: 5, bootstrap: 100}
"""
DEADLINE = 300.0


def session_processes(session: int) -> dict[int, str]:
    """Living processes of one session (setsid): all that a command started by `start` can have started."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, owner = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(owner) == session and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    return found


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} took more than {seconds} s"
        time.sleep(0.1)


class Command:
    """A `fedgen` process and everything it starts, in a session of its own."""

    def __init__(self, folder: Path, arguments: tuple[str, ...]) -> None:
        path = os.pathsep.join(str(REPO / place) for place in (".", "privacy", "client", "server"))
        self.err = folder / "stderr"
        self.out = folder / "stdout"
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fedgen.cli", *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
                stdout=out,
                stderr=err,
                start_new_session=True,
                # A test run started in the background ignores Ctrl-C, and its children would too.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def wait(self, seconds: float = DEADLINE) -> int:
        return self.process.wait(seconds)

    def left_over(self) -> dict[int, str]:
        return session_processes(self.process.pid)

    def kill_session(self) -> None:
        for process in self.left_over():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait(60)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """`start("simulate", ...)` in the test's folder, which holds tiny.yaml."""
    (tmp_path / "tiny.yaml").write_text(STUDY)
    commands: list[Command] = []

    def begin(*arguments: str) -> Command:
        commands.append(Command(tmp_path, arguments))
        return commands[-1]

    yield begin
    for command in commands:
        command.kill_session()


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[[], SimpleNamespace]:
    """The one run under the test's folder."""

    def read() -> SimpleNamespace:
        (path,) = (tmp_path / "runs").glob("tiny-*")

        def json_of(name: str) -> Any:
            return json.loads((path / name).read_text(encoding="utf-8"))

        def events(kind: str) -> list[Any]:
            lines = [
                json.loads(line) for line in (path / "events.jsonl").read_text(encoding="utf-8").splitlines()
            ]
            return [line for line in lines if line["event"] == kind]

        def ledgers() -> dict[str, list[Any]]:
            files = sorted((path / "sites").glob("*/ledger.jsonl"))
            return {
                file.parent.name: [json.loads(line)["row"] for line in file.read_text().splitlines()]
                for file in files
            }

        return SimpleNamespace(path=path, json=json_of, events=events, ledgers=ledgers)

    return read


@pytest.fixture
def trained_rounds(tmp_path: Path) -> Callable[[], int]:
    """How many rounds the run under the test's folder has finished, 0 before there is one."""

    def count() -> int:
        files = list((tmp_path / "runs").glob("tiny-*/events.jsonl"))
        return files[0].read_text().count('"event": "round"') if files else 0

    return count


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object], float, str], None]:
    """Wait for a condition, or fail with what was waited for."""
    return wait_until
