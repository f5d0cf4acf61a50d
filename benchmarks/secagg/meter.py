"""Seconds and bytes: the two things the benchmark reads off a call."""

from __future__ import annotations

import os
import platform
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any


class Clock:
    """Wall seconds added up over every `with clock:`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def __enter__(self) -> Clock:
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started


class Memory:
    """Peak bytes one party holds over its own calls, whatever others allocate between them.

    tracemalloc counts a whole process; several parties share this one. So each call's growth is booked on the
    party that made it: what it held before, plus the highest point the call reached above its start. Bytes
    are those of Python and NumPy; buffers inside OpenSSL are not seen (a few kB each).
    """

    def __init__(self) -> None:
        self.held = 0
        self.peak = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Watch one call; does nothing unless tracemalloc is tracing."""
        if not tracemalloc.is_tracing():
            yield
            return
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        yield
        after, peak = tracemalloc.get_traced_memory()
        self.peak = max(self.peak, self.held + peak - before)
        self.held += after - before


@contextmanager
def tracing() -> Iterator[None]:
    """Trace allocations inside; timings taken meanwhile are not comparable."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def summary(samples: Sequence[float]) -> dict[str, Any]:
    """Median, minimum and number of the samples, in milliseconds."""
    return {"median_ms": 1e3 * median(samples), "min_ms": 1e3 * min(samples), "samples": len(samples)}


def available_bytes() -> int:
    """Memory the system would give without swapping: MemAvailable of /proc/meminfo.

    A system without that file answers zero, and every size that must fit is then reported as not run.
    """
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return 0
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def machine() -> dict[str, Any]:
    """The machine and the versions the numbers belong to."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    wanted = ("aes", "vaes", "avx2", "avx512f")
    return {
        "cpu": fields.get("model name", platform.processor() or "unknown"),
        "cpu_flags": [flag for flag in wanted if flag in fields.get("flags", "").split()],
        "cores": os.cpu_count(),
        "load_average_at_start": os.getloadavg()[0],
        "memory_available_gb": round(available_bytes() / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "cryptography", "flwr")},
    }
