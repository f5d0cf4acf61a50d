"""Which process conducts a run: one at a time, held by a lock that even kill -9 releases."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime

from fedgen.errors import FederationError, PrivacyRefusedError
from fedgen.run.directory import RunDirectory, write_atomic
from fedgen_privacy.lock import exclusive

LOCK, PROCESS = "run.lock", "conductor.json"


@contextlib.contextmanager
def conducting(run: RunDirectory) -> Iterator[None]:
    """Be the one process that conducts `run`.

    Raises:
        FederationError: another does.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(exclusive(run.path / LOCK, wait=0.0))
        except PrivacyRefusedError:
            raise FederationError(
                f"Another process conducts {run.path}: `fedgen-server status` follows it, `fedgen-server stop` stops "
                "it."
            ) from None
        value = {"pid": os.getpid(), "started": datetime.now(UTC).isoformat()}
        write_atomic(run.path / PROCESS, (json.dumps(value) + "\n").encode())
        yield


def is_conducted(run: RunDirectory) -> bool:
    """Whether some process conducts this run now."""
    if not run.path.is_dir():
        return False
    try:
        with exclusive(run.path / LOCK, wait=0.0):
            return False
    except PrivacyRefusedError:
        return True


def stop_conductor(run: RunDirectory) -> bool:
    """Ask the process that conducts a run to stop; False where there is none."""
    if not is_conducted(run):
        return False
    os.kill(int(run.read_json(PROCESS)["pid"]), signal.SIGINT)
    return True
