"""Ray's processes: those that a simulation uses, and workers that have imported what they need before they are asked.

Private names of Ray: `Node.start_monitor`, `start_log_monitor` and `start_api_server`, which start an autoscaler for a
cluster that never grows, a reader of logs that nobody is shown, and a server of jobs that nobody submits, each a
Python program that imports Ray. And the variable by which a worker finds its setup hook:
said to `ray.init` as an option, the hook would be set up by another of Ray's programs for each worker anew, and no
worker would be started before it is asked for.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator

# Ray reads these when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# As in Ray's next version, and without its word about it in each program that imports it.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Nobody but `start_ray` may start Ray, least of all a thread that outlives it.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

from fedgen.errors import FederationError

import ray  # isort: skip
import psutil  # isort: skip
from ray._private.node import Node  # isort: skip
from ray._private.ray_constants import WORKER_PROCESS_SETUP_HOOK_ENV_VAR  # isort: skip

#: For a process that is to import only what it is asked for.
COLD = {"env_vars": {WORKER_PROCESS_SETUP_HOOK_ENV_VAR: "os.getpid"}}
_WARM = "fedgen.federation.simulation.warm_worker.load"
_NOBODY_USES = ("start_monitor", "start_log_monitor", "start_api_server")
#: Seconds that the end of a program waits for a start to be done, to undo it.
_PATIENCE = 15.0
#: Bytes, and more than any system's record of a signal's handler has.
_SIGACTION = 1024
#: glibc otherwise maps and faults the per-record gradients anew in every step.
_ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
}
# Ray is one in a process, and so is what is known of it: who is starting it, and whether nobody has used it yet.
_lock = threading.Lock()
_stopped = threading.Event()
_unused = False


def start_ray(workers: int) -> None:
    """Start Ray, or take the one that was started ahead with as many workers.

    Raises:
        FederationError: it did not start, which it gives half a minute; or another runs in this program, which may be
            of a cluster, or is still held by a run that was interrupted.
    """
    global _unused
    with _lock:
        if ray.is_initialized() and not _unused:
            raise FederationError(
                "Ray runs in this program already, for something else or for a run that was interrupted: go on with "
                "this run in a program of its own."
            )
        if ray.is_initialized() and ray.cluster_resources().get("CPU") != workers:
            _stop()
        if not ray.is_initialized():
            _start(workers)
        _unused = False


def keep_ray_ahead(workers: int, given_up: threading.Event) -> None:
    """Start Ray for whoever will need it, and stay until it is stopped.

    The system ends Ray's processes with the thread that started them.

    Args:
        workers: as of `start_ray`.
        given_up: set, it is not started, or stopped as soon as it is there if nobody has used it.

    Raises:
        FederationError: as of `start_ray`.
    """
    global _unused
    with _lock:
        if ray.is_initialized() or given_up.is_set():
            return
        _stopped.clear()
        atexit.unregister(_stop_at_the_end)
        atexit.register(_stop_at_the_end)
        _start(workers)
        _unused = True
        if given_up.is_set():
            _stop()
    _stopped.wait()


def stop_ray() -> None:
    """Stop it."""
    with _lock:
        _stop()


def stop_unused_ray() -> None:
    """Stop it where it was started ahead and nobody has used it; does not wait for one that is still starting."""
    if _lock.acquire(blocking=False):
        try:
            if _unused:
                _stop()
        finally:
            _lock.release()


def _stop() -> None:
    global _unused
    _unused = False
    mine = psutil.Process().children(recursive=True)
    before = {each for each in mine if each.name() in ("raylet", "gcs_server")}
    below = [each for one in before for each in one.children(recursive=True)]
    ray.shutdown()
    # Ray's agents that have not found it yet look for it for a minute, and hold on to this program's output.
    for each in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    _stopped.set()


def _stop_at_the_end() -> None:
    # A start that is cut off half-way cannot be undone.
    if _lock.acquire(timeout=_PATIENCE):
        _stop()


def _start(workers: int) -> None:
    for name, value in _ALLOCATOR.items():
        os.environ.setdefault(name, value)
    try:
        with _told(WORKER_PROCESS_SETUP_HOOK_ENV_VAR, _WARM), _without_what_nobody_uses(), _sigterm_kept():
            ray.init(
                num_cpus=workers, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False
            )
    except Exception as error:  # Ray raises this very class where its processes are not there in time.
        raise FederationError(
            f"The engine of the virtual sites (Ray) did not start ({str(error).splitlines()[0]}): this machine is too "
            f"busy, or short of memory or of room in {tempfile.gettempdir()}; wait for it, then go on with this run."
        ) from error


@contextlib.contextmanager
def _told(name: str, value: str) -> Iterator[None]:
    # What Ray starts inherits it; what this program starts otherwise does not.
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def _without_what_nobody_uses() -> Iterator[None]:
    kept = {name: getattr(Node, name) for name in _NOBODY_USES}
    for name in _NOBODY_USES:
        setattr(Node, name, lambda *arguments, **options: None)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(Node, name, method)


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    # Ray's core takes SIGTERM for a crash and writes a report of it. Python sets handlers in its main thread alone, and
    # so it is the system's own record that is put back.
    libc = ctypes.CDLL(None)
    record = ctypes.create_string_buffer(_SIGACTION)
    libc.sigaction(signal.SIGTERM, None, record)
    try:
        yield
    finally:
        libc.sigaction(signal.SIGTERM, record, None)
