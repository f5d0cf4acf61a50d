"""Which process conducts a run: one at a time, held by a lock that even kill -9 releases."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar

from fedgen.run.directory import RunDirectory
from fedgen.run.lock import held, is_held
from fedgen.run.run_file import RunFile

LOCK = "run.lock"


class Conductor(RunFile):
    """`conductor.json`: the process that conducts a run, or did last."""

    name: ClassVar[str] = "conductor.json"

    pid: int
    started: str


@contextlib.contextmanager
def conducting(run: RunDirectory) -> Iterator[None]:
    """Be the one process that conducts `run`.

    Raises:
        LockedError: another does.
    """
    busy = f"Another process conducts {run.path}: `fedgen-server status` follows it, `fedgen-server stop` stops it."
    with held(run.path / LOCK, wait=0.0, busy=busy):
        Conductor(pid=os.getpid(), started=datetime.now(UTC).isoformat()).write(run)
        yield


def is_conducted(run: RunDirectory) -> bool:
    """Whether some process conducts this run now."""
    return run.path.is_dir() and is_held(run.path / LOCK)


def stop_conductor(run: RunDirectory) -> bool:
    """Ask the process that conducts a run to stop; False where there is none."""
    if not is_conducted(run):
        return False
    # Not SIGINT, which a shell ignores for what it starts in the background.
    os.kill(Conductor.read(run).pid, signal.SIGTERM)
    return True
