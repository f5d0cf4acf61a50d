"""The engine of the virtual sites starts while the data are prepared: most of its start is waiting."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from importlib import import_module

from fedgen.errors import FederationError

_PROCESSES = "fedgen.federation.simulation.ray_processes"
#: Where nobody knows yet how many sites there are. Too few is made good later; each too many takes a torch in memory.
_GUESS = 4


def workers_for(sites: int) -> int:
    """Processes that work for so many virtual sites."""
    return min(os.cpu_count() or 1, sites)


@contextlib.contextmanager
def engine_ahead(sites: int | None) -> Iterator[None]:
    """Ray is started beside what the block does, and stopped after it where it is there and nobody has used it.

    It is no promise: what goes wrong here is told by `ray_engine`, which starts Ray where it is not there.

    Args:
        sites: how many there are; None where nobody knows yet.
    """
    workers, given_up = workers_for(_GUESS if sites is None else sites), threading.Event()
    # It must not hold up the end of a program that was told to stop.
    threading.Thread(target=_keep, args=(workers, given_up), name="engine ahead", daemon=True).start()
    try:
        yield
    finally:
        given_up.set()
        if _PROCESSES in sys.modules:
            import_module(_PROCESSES).stop_unused_ray()


def _keep(workers: int, given_up: threading.Event) -> None:
    # Ray takes half a second to import, which is not waited for either.
    processes = import_module(_PROCESSES)
    with contextlib.suppress(FederationError):
        processes.keep_ray_ahead(workers, given_up)
