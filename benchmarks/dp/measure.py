"""Seconds of interleaved steps in this process, and the peak memory of a step in a fresh one."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import torch

from dp.case import Case, build
from dp.contenders import CONTENDERS, Step
from fedgen.run.memory import return_large_buffers

MiB = 1024.0
#: Seconds after which a process that measures memory is given up; torch.compile alone takes minutes.
PATIENCE = 600.0


def seconds(case: Case, names: Sequence[str], repeats: int) -> dict[str, float | None]:
    """Median seconds of a step; None where the contender cannot take part."""
    steps: dict[str, Step] = {}
    for name in names:
        try:
            steps[name] = CONTENDERS[name](build(case))
            steps[name]()
        except (NotImplementedError, RuntimeError) as error:
            print(f"  {case.title}: no {name} ({str(error).splitlines()[0][:90]})")
            steps.pop(name, None)
    samples: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            samples[name].append(time.perf_counter() - started)
    return {name: median(samples[name]) if name in samples else None for name in names}


def peak_mebibytes(case: Case, name: str) -> float | None:
    """What two steps need beyond networks, batch and libraries, in a process of its own.

    It is forked from one that has imported torch and calculated nothing, as a site's worker is.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dp.measure"])
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=_peak, args=(case, name, writer), daemon=True)
    child.start()
    writer.close()
    try:
        return float(reader.recv()) if reader.poll(PATIENCE) else None
    except EOFError:
        return None
    finally:
        child.kill()
        child.join()


def _peak(case: Case, name: str, writer: Connection) -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    return_large_buffers()
    # oneDNN and the vault's libraries load themselves at their first use.
    for warm in ("plain", "hooks"):
        CONTENDERS[warm](build(Case(case.family, 16)))()
    step = CONTENDERS[name](build(case))
    # "5" sets the peak back to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    step()
    step()
    writer.send((_status("VmHWM") - before) / MiB)


def _status(field: str) -> int:
    """Kibibytes of a field of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
