"""Flower's Ray simulation, started and stopped cleanly."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import fedgen.flower  # noqa: F401 - before anything of Flower's is used: no telemetry, no update check
from fedgen.federation.simulation.ray_processes import start_ray, stop_ray
from fedgen.run.signals import kept

from flwr.app import Context  # isort: skip
from flwr.simulation import run_simulation  # isort: skip

__all__ = ["Context", "ray_engine", "run_simulation"]


@contextlib.contextmanager
def ray_engine(workers: int) -> Iterator[None]:
    """Ray for `run_simulation`, stopped after it.

    Flower would start it but never stop it, and Ray keeps SIGTERM for itself: then a run that the system stops would
    end with Ray's crash report instead of its own status.

    Raises:
        FederationError: Ray did not start, which it gives half a minute.
    """
    with kept(signal.SIGTERM):
        with kept(signal.SIGTERM):
            start_ray(workers)
        yield
        # Only here: where the block is left by an interrupt, threads of Flower still hold on to Ray and would wait for
        # ever without it; it then ends with the process.
        stop_ray()
