"""The engine of the virtual sites starts while the data are prepared: most of its start is waiting."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from fedgen.errors import FederationError

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
    workers = workers_for(_GUESS if sites is None else sites)
    # It must not hold up the end of a program that was told to stop: Ray's own watchdog ends what it leaves.
    threading.Thread(target=_keep, args=(workers,), name="engine ahead", daemon=True).start()
    try:
        yield
    finally:
        from fedgen.federation.simulation.ray_processes import stop_unused_ray

        stop_unused_ray()


def _keep(workers: int) -> None:
    with contextlib.suppress(FederationError):
        # Ray takes half a second to import, which is not waited for either.
        from fedgen.federation.simulation.ray_processes import keep_ray_ahead

        keep_ray_ahead(workers)
