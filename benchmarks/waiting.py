"""Seconds that people wait: for a command to answer, for a worker to start, for the report, for the demonstration.

    python benchmarks/waiting.py [--times 5] [--run RUN | --no-demo] [--out FILE.json]

Each command is a process of its own, as a shell starts it. Of each, the least of several wall-clock times and the least
of the processor's seconds (user and system): on a machine with other work the latter are those to compare. The mark
for what needs no torch is 0.4 s, and 1 s for the report. A worker's start is what its supervisor waits for: the import
of everything that a study needs. The demonstration is `fedgen simulate demo`, stage by stage as run.json has it,
beside its whole time as a shell sees it; with `--run` that of a run which is there already is read.

The benchmark exits 0 whatever the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from secagg.meter import machine

import fedgen

#: Seconds: of what needs no torch, of a report.
LIGHT, REPORT = 0.4, 1.0
PYTHON = "python"
COMMANDS = {
    "python -c pass": [PYTHON, "-c", "pass"],
    'python -c "import fedgen"': [PYTHON, "-c", "import fedgen"],
    "fedgen --help": [PYTHON, "-m", "fedgen.cli", "--help"],
    "fedgen version": [PYTHON, "-m", "fedgen.cli", "version"],
    "fedgen simulate --help": [PYTHON, "-m", "fedgen.cli", "simulate", "--help"],
    "fedgen simulate, a typing error": [PYTHON, "-m", "fedgen.cli", "simulate", "demo", "--set", "training.round=3"],
    "fedgen study check demo": [PYTHON, "-m", "fedgen.cli", "study", "check", "demo"],
    "fedgen study presets": [PYTHON, "-m", "fedgen.cli", "study", "presets"],
    "fedgen data --help": [PYTHON, "-m", "fedgen.cli", "data", "--help"],
    "fedgen privacy --help": [PYTHON, "-m", "fedgen.cli", "privacy", "--help"],
    "fedgen prior --help": [PYTHON, "-m", "fedgen.cli", "prior", "--help"],
    "fedgen models": [PYTHON, "-m", "fedgen.cli", "models"],
    "fedgen verify --help": [PYTHON, "-m", "fedgen.cli", "verify", "--help"],
    "fedgen-client --help": [PYTHON, "-m", "fedgen_client.cli", "--help"],
    "fedgen-client studies --help": [PYTHON, "-m", "fedgen_client.cli", "studies", "--help"],
    "fedgen-client start --help": [PYTHON, "-m", "fedgen_client.cli", "start", "--help"],
    "fedgen-server --help": [PYTHON, "-m", "fedgen_server.cli", "--help"],
    "fedgen-server status --help": [PYTHON, "-m", "fedgen_server.cli", "status", "--help"],
    "fedgen-server run --help": [PYTHON, "-m", "fedgen_server.cli", "run", "--help"],
}  # fmt: skip
#: What loads torch, and is not held to the mark.
HEAVY = {
    'python -c "import torch"': [PYTHON, "-c", "import torch"],
    "a hospital's worker": [PYTHON, "-c", "import fedgen_client.worker, fedgen_client.hospital"],
    "fedgen.simulate before its first stage": [PYTHON, "-c", "import fedgen.pipeline.simulation"],
}


class Waited(NamedTuple):
    """The least of several times.

    Attributes:
        wall: seconds on the clock.
        processor: seconds of the processor, user and system.
    """

    wall: float
    processor: float


def waited(command: list[str], times: int) -> Waited:
    """How long a command takes, to its end."""
    found = [_once([sys.executable if part == PYTHON else part for part in command]) for _ in range(times)]
    return Waited(min(each.wall for each in found), min(each.processor for each in found))


def _once(command: list[str]) -> Waited:
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return Waited(time.perf_counter() - begun, used.ru_utime + used.ru_stime)


def commands(named: dict[str, list[str]], times: int, mark: float | None) -> dict[str, dict[str, float]]:
    """Print a table of some commands."""
    print(f"\n| command | seconds | of the processor |{'' if mark is None else f' below {mark:g} |'}")
    print(f"|---|---|---|{'' if mark is None else '---|'}")
    rows = {}
    for name, command in named.items():
        took = waited(command, times)
        rows[name] = took._asdict()
        last = "" if mark is None else f" {'yes' if took.processor < mark else 'NO'} |"
        print(f"| `{name}` | {took.wall:.2f} | {took.processor:.2f} |{last}", flush=True)
    return rows


def demonstration(given: Path | None, folder: Path) -> dict[str, Any]:
    """Print seconds of each stage of the demonstration, and of its report."""
    whole = None
    if given is None:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "fedgen.cli", "simulate", "demo", "--out", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        whole = time.perf_counter() - begun
        (given,) = folder.glob("demo-*")
    run = fedgen.open_run(given)
    took = []
    for _ in range(3):
        begun = time.perf_counter(), time.process_time()
        run.report()
        took.append(Waited(time.perf_counter() - begun[0], time.process_time() - begun[1]))
    report = Waited(min(each.wall for each in took), min(each.processor for each in took))
    stages = dict(run.summary.timings)
    print("\n| the demonstration | seconds |\n|---|---|")
    for name, seconds in stages.items():
        print(f"| stage {name} | {seconds:.1f} |")
    if whole is not None:
        print(
            f"| the rest: imports, start and end | {whole - sum(stages.values()):.1f} |\n| all | {whole:.1f} |"
        )
    print(f"| the report, first | {took[0].wall:.2f} ({took[0].processor:.2f} of the processor) |")
    print(f"| the report, again | {report.wall:.2f} ({report.processor:.2f}), mark {REPORT:g} |")
    return {"stages": stages, "whole": whole, "report_first": took[0]._asdict(), "report": report._asdict()}


def main() -> None:
    """Print the tables and write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=5, help="of each command")
    parser.add_argument("--run", type=Path, help="a run of the demonstration that is done")
    parser.add_argument("--no-demo", action="store_true", help="measure commands alone")
    parser.add_argument("--out", type=Path, default=Path("waiting.json"))
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": machine()}
    found["light"] = commands(COMMANDS, arguments.times, LIGHT)
    found["heavy"] = commands(HEAVY, arguments.times, None)
    if not arguments.no_demo:
        with tempfile.TemporaryDirectory() as folder:
            found["demonstration"] = demonstration(arguments.run, Path(folder))
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
