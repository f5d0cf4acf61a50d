"""More sites, longer vectors, worse lines, and many that wait: does it hold?

    python benchmarks/scale.py [--quick] [--only sums simulated lines idle] [--out FILE.json]

`sums`: secure sums of 4 to 64 sites and 1e6 to 1e8 parameters, in the ring of 32 bits and packed in 16, in this
process: one site's masking, the coordinator's additions and its memory. `simulated`: `fedgen simulate` with 4 to 64
virtual sites and a million parameters, round by round. `lines`: a federation of real processes whose sites are behind
lines of 10 Mbit/s, 200 ms and 1 % loss (`scaling/slow_line.py` says how these are made), and a model of 104 MB that is
broadcast over a line that is cut. `idle`: 200 sites that wait for ten minutes for one coordinator.

With `--quick` each is smaller. The benchmark ends with the targets and exits 0 whatever they are; everything it starts
ends with it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before NumPy starts its threads: each side runs on one core, as the keystreams do.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from deployment.processes import Processes
from deployment.study import HUNDRED_MEGABYTES, MILLION
from scaling import marks
from scaling.broadcast import FAR, NEAR, broadcast, secure_rounds
from scaling.idle import idle
from scaling.simulated import simulated
from scaling.sums import Sum, sum_of
from secagg.meter import machine

RESULTS = Path(__file__).parent / "results"


def sums(quick: bool) -> list[dict[str, Any]]:
    """The table of sums; the longest vectors at few numbers of sites, since every site masks in this one process."""
    rings = (32, 16)
    if quick:
        cells = [Sum(n, 10**6, ring) for ring in rings for n in (4, 16, 64)]
    else:
        sites = {10**6: (4, 8, 16, 32, 64), 10**7: (4, 16, 64), 10**8: (4, 16)}
        cells = [Sum(n, length, ring) for length in sites for ring in rings for n in sites[length]]
    found = []
    for cell in cells:
        found.append(sum_of(cell))
        _say(f"sum of {cell.sites} sites, {cell.length:.0e} parameters, ring of {cell.ring_bits} bits")
    return found


def simulations(folder: Path, quick: bool) -> list[dict[str, Any]]:
    """Simulations of more and more sites."""
    cases = [(n, 32) for n in (4, 16)] if quick else [(n, ring) for ring in (32, 16) for n in (4, 16, 64)]
    found = []
    with _processes(folder) as processes:
        for sites, ring in cases:
            found.append(simulated(processes, folder, sites, ring))
            _say(f"simulation of {sites} sites, ring of {ring} bits")
    return found


def lines(folder: Path, quick: bool) -> dict[str, Any]:
    """Bad lines."""
    found: dict[str, Any] = {"quality": vars(FAR)}
    with _processes(folder) as processes:
        for name, quality in (("near", NEAR), ("far", FAR)):
            found[name] = secure_rounds(processes, folder / name, quality, 3 if quick else 6)
            _say(f"secure rounds over lines that are {name}")
        size = MILLION if quick else HUNDRED_MEGABYTES
        found["broadcast"] = broadcast(processes, folder / "broadcast", FAR, size)
        _say("a broadcast, and one that was cut")
    return found


def waiting(folder: Path, quick: bool) -> dict[str, Any]:
    """Many that wait."""
    with _processes(folder) as processes:
        return idle(processes, folder / "idle", *((50, 60.0) if quick else (200, 600.0)))


PARTS: dict[str, tuple[Callable[[Path, bool], Any], Callable[[Any], str]]] = {
    "sums": (lambda folder, quick: sums(quick), marks.sums_table),
    "simulated": (simulations, marks.simulated_table),
    "lines": (lines, marks.lines_table),
    "idle": (waiting, marks.idle_table),
}


def _processes(folder: Path) -> Processes:
    logs = folder / "logs"
    logs.mkdir(parents=True)
    return Processes(logs)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller, in some five minutes")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="default: all")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/scale[_quick].json")
    arguments = parser.parse_args()
    out: Path = arguments.out or RESULTS / f"scale{'_quick' if arguments.quick else ''}.json"
    # Killed politely, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    # A part that was not asked for keeps what an earlier run found.
    result: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    for part in arguments.only:
        measure, table = PARTS[part]
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="fedgen-benchmark-") as temporary:
            result[part] = measure(Path(temporary) / part, arguments.quick)
        result.setdefault("machines", {})[part] = {**about, "seconds": time.perf_counter() - began}
        print(f"\n{table(result[part])}\n", flush=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n")
    print("Targets\n" + "\n".join(verdict.line() for verdict in marks.verdicts(result)))
    print(f"\nwrote {out}")


if __name__ == "__main__":
    main()
