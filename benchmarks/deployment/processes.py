"""Processes of the benchmark: each in a session of its own, found again by a mark, all of them gone at the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from deployment import reaper

REPO = Path(__file__).parents[2]
#: Where scripts lie that were installed with this interpreter.
PROGRAMS = Path(sys.executable).parent
POLL_SECONDS = 0.05
STOP_SECONDS = 10.0
#: A process whose last lines are shown where it fails shows so many.
SHOWN_LINES = 15

#: No process of either side reports home, looks for updates, installs anything, or computes on more than one core.
ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "200",
}


class ProcessError(Exception):
    """A process ended that should go on, failed, or took too long."""


class Processes:
    """Everything the benchmark starts, by name; a context manager that ends all of it.

    A started process carries a mark in its environment, and so does whatever it starts, also in another session. Only
    marked processes are counted as its own, and only they are killed; where this process is killed itself, a reaper
    does it (`deployment/reaper.py`).

    Args:
        logs: folder for what they write.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._key = secrets.token_hex(8)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._reaper = subprocess.Popen(
            [sys.executable, reaper.__file__, self._key], stdin=subprocess.PIPE, start_new_session=True
        )

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop(*self._running)
        finally:
            reaper.kill_marked(f"{self._key}/")
            self._reaper.communicate()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Start a process that goes on; returns its id."""
        with self._log(name).open("wb") as out:
            process = subprocess.Popen(
                command,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                cwd=self._logs,
                env=self._environment(name, environment),
                start_new_session=True,
            )
        self._running[name] = process
        return process.pid

    def run(
        self, command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a command to its end; returns what it printed.

        Raises:
            ProcessError: it failed, or took longer.
        """
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
                cwd=self._logs,
                stdin=subprocess.DEVNULL,
                env=self._environment("command", environment),
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise ProcessError(f"{' '.join(command[:5])} took more than {seconds:.0f} s") from None
        if done.returncode != 0:
            raise ProcessError(
                f"{' '.join(command[:5])} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def pid(self, name: str) -> int:
        """Id of the process that was started under this name."""
        return self._running[name].pid

    def family(self, name: str) -> dict[int, str]:
        """Command line by id of that process and of all that it started and that still live."""
        return reaper.marked(f"{self._key}/{name}/")

    def check(self) -> None:
        """See that all go on.

        Raises:
            ProcessError: one has ended; its last lines are told.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                raise ProcessError(f"{name} ended with {process.returncode}:\n{self.tail(name)}")

    def until(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        """Wait until `condition` holds, as long as all processes go on.

        Raises:
            ProcessError: one ended, or `seconds` passed.
        """
        end = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > end:
                raise ProcessError(f"waited {seconds:.0f} s for {what}")
            time.sleep(POLL_SECONDS)

    def stop(self, *names: str) -> None:
        """End processes and all that they started, politely first."""
        for name in names:
            if self._running[name].poll() is None:
                self._running[name].send_signal(signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        for name in names:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._running[name].wait(max(0.0, end - time.monotonic()))
            # A process that was killed stays in /proc, without a mark, until it is waited for.
            reaper.kill_marked(f"{self._key}/{name}/")
            self._running.pop(name).wait()

    def written(self, name: str) -> str:
        """What a process has written so far."""
        return self._log(name).read_text(encoding="utf-8", errors="replace")

    def tail(self, name: str) -> str:
        """The last lines of that."""
        return "\n".join(self.written(name).splitlines()[-SHOWN_LINES:])

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _environment(self, name: str, extra: Mapping[str, str] | None) -> dict[str, str]:
        places = (".", "privacy", "client", "server")
        path = os.pathsep.join(str((REPO / place).resolve()) for place in places)
        # Flower starts its own scripts by name.
        programs = os.pathsep.join([str(PROGRAMS), os.environ.get("PATH", os.defpath)])
        own = {"PYTHONPATH": path, "PATH": programs, reaper.MARK: f"{self._key}/{name}/"}
        return {**os.environ, **ENVIRONMENT, **own, **(extra or {})}


def python(module: str, *arguments: str) -> list[str]:
    """A command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def script(name: str, *arguments: str) -> list[str]:
    """A command that runs a script installed beside this interpreter."""
    return [str(PROGRAMS / name), *arguments]


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def listening(port: int) -> bool:
    """Whether somebody accepts connections on it."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False
