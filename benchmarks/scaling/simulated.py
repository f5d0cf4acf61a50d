"""`fedgen simulate` with more and more virtual sites: seconds of a secure round, and the coordinator's memory."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from deployment.meter import MEGABYTE
from deployment.processes import ProcessError, Processes, python
from deployment.study import study_text

DRIVER = "simulation"
ROUNDS = 4
#: For Ray to start, all sites to decode their images, and the rounds, on few cores.
SECONDS = 1500.0


def simulated(processes: Processes, folder: Path, sites: int, ring_bits: int) -> dict[str, Any]:
    """Train a study of a million parameters until its last round; synthesis and evidence are not waited for.

    Returns:
        `seconds` of each round, `round_s`, the median of all but the first, and `memory_mb`, the most that the
        process of the coordinator held.
    """
    name = f"sites-{sites}-ring-{ring_bits}"
    file = folder / f"{name}.yaml"
    file.write_text(study_text(name, sites, ROUNDS, secure=True, ring_bits=ring_bits))
    out = folder / "runs"
    pid = processes.start(DRIVER, python("fedgen.cli", "simulate", str(file), "--out", str(out), "--yes"))
    try:
        processes.until(lambda: len(_rounds(out, name)) == ROUNDS, SECONDS, f"{ROUNDS} rounds of {name}")
        memory = _peak_mb(pid)
    finally:
        processes.stop(DRIVER)
    seconds = _rounds(out, name)
    return {
        "sites": sites,
        "ring_bits": ring_bits,
        "seconds": seconds,
        "round_s": median(seconds[1:]),
        "memory_mb": memory,
    }


def _rounds(out: Path, name: str) -> list[float]:
    journals = list(out.glob(f"{name}-*/events.jsonl"))
    if not journals:
        return []
    lines = [json.loads(line) for line in journals[0].read_text().splitlines() if line.endswith("}")]
    return [line["seconds"] for line in lines if line.get("event") == "round"]


def _peak_mb(pid: int) -> float:
    """VmHWM: the most that the process has held so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / MEGABYTE
    raise ProcessError(f"/proc/{pid}/status has no VmHWM")
