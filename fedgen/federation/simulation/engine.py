"""Flower's Ray simulation, started and stopped cleanly."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import tempfile
from collections.abc import Iterator

# Ray reads these when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Nobody but `ray_engine` may start Ray, least of all a thread that outlives it.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

import fedgen.flower  # noqa: F401 - before anything of Flower's is used: no telemetry, no update check
from fedgen.errors import FederationError
from fedgen.run.signals import kept

import ray  # isort: skip
from flwr.app import Context  # isort: skip
from flwr.simulation import run_simulation  # isort: skip

__all__ = ["Context", "ray_engine", "run_simulation"]


@contextlib.contextmanager
def ray_engine(cores: int) -> Iterator[None]:
    """Ray for `run_simulation`, stopped after it.

    Flower would start it but never stop it, and Ray keeps SIGTERM for itself: then a run that the system stops would
    end with Ray's crash report instead of its own status.

    Raises:
        FederationError: Ray did not start, which it gives half a minute.
    """
    with kept(signal.SIGTERM):
        with kept(signal.SIGTERM):
            _start(cores)
        yield
        # Only here: where the block is left by an interrupt, threads of Flower still hold on to Ray and would wait for
        # ever without it; it then ends with the process.
        ray.shutdown()


def _start(cores: int) -> None:
    try:
        ray.init(num_cpus=cores, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # Ray raises this very class where its processes are not there in time.
        raise FederationError(
            f"The engine of the virtual sites (Ray) did not start ({str(error).splitlines()[0]}): this machine is too "
            f"busy, or short of memory or of room in {tempfile.gettempdir()}; wait for it, then go on with this run."
        ) from error
