"""What /proc says of a process: CPU time and memory."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
MEGABYTE = 1e6


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far, in user and system mode, its ended children not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(pid: int) -> float:
    """VmRSS in megabytes (1e6 bytes): what the process holds in memory, shared libraries counted in full."""
    return _field(Path(f"/proc/{pid}/status"), "VmRSS") / MEGABYTE


def proportional_mb(pid: int) -> float:
    """Pss in megabytes: as resident, with what n processes share counted as an n-th in each."""
    return _field(Path(f"/proc/{pid}/smaps_rollup"), "Pss") / MEGABYTE


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{path} has no {name}")


class Idle:
    """CPU of groups of processes over a stretch of time.

    Args:
        groups: process ids by name; a group is all processes of one site or one coordinator.
    """

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self._groups = groups
        self._started = time.monotonic()
        self._before = {name: _cpu(pids) for name, pids in groups.items()}

    def read(self) -> dict[str, dict[str, Any]]:
        """CPU per cent of one core since the start, memory now, and number of processes, by group."""
        seconds = time.monotonic() - self._started
        return {
            name: {
                "cpu_percent": 100 * (_cpu(pids) - self._before[name]) / seconds,
                "seconds": seconds,
                "rss_mb": sum(map(resident_mb, pids)),
                "pss_mb": sum(map(proportional_mb, pids)),
                "processes": len(pids),
            }
            for name, pids in self._groups.items()
        }


def _cpu(pids: Iterable[int]) -> float:
    total = 0.0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):
            total += cpu_seconds(pid)
    return total


def quantile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that is at least as large as `share` of them."""
    return sorted(samples)[max(0, math.ceil(share * len(samples)) - 1)]


def summary(samples: Sequence[float]) -> dict[str, Any]:
    """p50, p90, least and number of samples, in seconds."""
    return {
        "p50": median(samples),
        "p90": quantile(samples, 0.9),
        "least": min(samples),
        "samples": len(samples),
        "seconds": list(samples),
    }
