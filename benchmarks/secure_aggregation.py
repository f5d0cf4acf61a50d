"""Secure aggregation: seconds, bytes and memory of ours, of Flower's SecAgg+, and of the floor under both.

    python benchmarks/secure_aggregation.py [--quick] [--largest 1e7] [--sites 4 8] [--out FILE.json] [--plot FILE.png]

All three run in this process, in turn, with the same updates. "Client" is one site's masking, encoding included and
training not; "server" is the addition of all uploads and the opening of their sum. Key work has columns of its own.
The floor is what no protocol with these masks can avoid: AES-256-CTR keystreams and additions. No network, no
serialisation on any side. Times are medians, minima in brackets; memory is tracemalloc's peak beyond the update, in
a run of its own, in units of the float32 update. With "drop 1" one site is lost after keys are shared. What a site does
does not depend on it, so a client has one number per size. Flower clips to 8 and ours to 1, so the errors
compare what each does by default and not two roundings.

It ends with the targets, measured value and verdict; a benchmark, it exits 0 whatever they are.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

# Before NumPy starts its threads: each side runs on one core, as the keystreams do.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from secagg.measure import Case, measure
from secagg.meter import machine
from secagg.plot import draw
from secagg.report import TARGET_SITES, sizes_table, skipped, times_table, verdicts

RESULTS = Path(__file__).parent / "results"


def quick_cases() -> list[Case]:
    """1e6 parameters at three numbers of sites, and the case the speed targets are set for."""
    return [
        Case(4, 10**6, repeats=3),
        Case(8, 10**6, repeats=3, packed=1),
        Case(16, 10**6, repeats=2, flower_memory=False),
        Case(8, 10**7, repeats=2, packed=1, flower_memory=False),
    ]


def full_cases(largest: float, sites: list[int]) -> list[Case]:
    """Every size up to `largest` at each number of sites; the packed ring where the targets are set."""
    repeats = {10**6: 5, 10**7: 5, 10**8: 2}
    return [
        Case(n, length, repeats=count, packed=3 if n == TARGET_SITES else 0)
        for length, count in repeats.items()
        if length <= largest
        for n in sites
    ]


def main() -> None:
    """Command line."""
    started = time.perf_counter()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a subset, in under a minute")
    parser.add_argument(
        "--out", type=Path, help="default: benchmarks/results/secure_aggregation[_quick].json"
    )
    parser.add_argument("--largest", type=float, default=1e8, help="leave out larger updates (default 1e8)")
    parser.add_argument("--sites", type=int, nargs="+", default=[4, 8, 16, 32], help="default: 4 8 16 32")
    parser.add_argument("--plot", type=Path, help="default: the same name with .png")
    arguments = parser.parse_args()
    name = "secure_aggregation_quick" if arguments.quick else "secure_aggregation"
    out: Path = arguments.out or RESULTS / f"{name}.json"
    plot: Path = arguments.plot or out.with_suffix(".png")

    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    results: list[dict[str, Any]] = []
    for case in quick_cases() if arguments.quick else full_cases(arguments.largest, arguments.sites):
        begun = time.perf_counter()
        results.append(measure(case))
        seconds = time.perf_counter() - begun
        print(f"measured {case.length:.0e} parameters, n = {case.sites}, in {seconds:.0f} s", flush=True)
    draw(results, plot)
    seconds = time.perf_counter() - started
    found = verdicts(results, seconds, arguments.quick)

    print("\nMilliseconds, median (minimum)\n" + times_table(results))
    print("\nBytes a site sends in a round, error, memory in vectors\n" + sizes_table(results))
    print("\nNot run")
    print(
        "\n".join(f"  {line}" for line in skipped(results) or ["nothing was left out of the list of cases"])
    )
    print("\nTargets\n" + "\n".join(verdict.line() for verdict in found))
    out.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": about, "seconds": seconds, "cases": results, "targets": [vars(v) for v in found]}
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"\nwrote {out} and {plot}")


if __name__ == "__main__":
    main()
