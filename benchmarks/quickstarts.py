"""Seconds from Enter to the end of three rounds in which nothing is computed: ours, Flower's and NVIDIA FLARE's.

    python benchmarks/quickstarts.py [--nvflare PYTHON] [--times 3] [--out FILE.json]

Three clients, three rounds, a vector of a thousand numbers, each peer by its own simulator on this machine: what a
newcomer waits for that is neither data nor training. NVIDIA FLARE needs an environment of its own (`python -m venv`,
`pip install nvflare`), whose interpreter is given; without it that row is left out. Ours is `fedgen simulate` of the
smallest study (quickstart/ours.yaml), which also makes, samples, audits, evaluates and reports; its stages are printed
apart. The peers do nothing after the last round.

Of several runs the least counts. The benchmark exits 0 whatever the numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from secagg.meter import machine

HERE = Path(__file__).parent / "quickstart"
FLOWER = """\
[superlink]
default = "local"

[superlink.local]
address = ":local:"
options.num-supernodes = 3
"""
SECONDS = 300.0


def took(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Seconds of a command.

    Raises:
        SystemExit: it failed, with the end of what it said.
    """
    begun = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        raise SystemExit(
            f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}"
        )
    return seconds


def ours(folder: Path) -> tuple[float, dict[str, float]]:
    """Of `fedgen simulate`, and of its stages."""
    command = [sys.executable, "-m", "fedgen.cli", "simulate", str(HERE / "ours.yaml"), "--out", str(folder)]
    seconds = took([*command, "--yes"], folder, {})
    (run,) = folder.glob("quickstart-*")
    timings: dict[str, float] = json.loads((run / "run.json").read_text())["timings"]
    return seconds, timings


def flower(folder: Path) -> float:
    """Of `flwr run`, with the SuperLink that it starts by itself."""
    home = folder / "home"
    home.mkdir()
    (home / "config.toml").write_text(FLOWER)
    programs = Path(sys.executable).parent
    # It starts other programs by their names.
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    environment = {"FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "PATH": path}
    program = str(programs / "flwr")
    try:
        return took([program, "run", str(HERE / "flower"), "local", "--stream"], folder, environment)
    finally:
        _end(str(home))


def _end(home: str) -> None:
    """End the SuperLink that Flower leaves running."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if home in place.read_text():
                os.kill(int(place.parent.name), signal.SIGTERM)


def nvflare(folder: Path, python: str) -> float:
    """Of NVIDIA FLARE's simulator."""
    return took([python, "job.py", str(folder / "workspace")], HERE / "nvflare", {})


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nvflare", metavar="PYTHON", help="an interpreter that has nvflare")
    parser.add_argument("--times", type=int, default=3, help="of each")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "quickstarts.json")
    arguments = parser.parse_args()
    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()), flush=True)
    found: dict[str, list[float]] = {}
    stages: dict[str, float] = {}
    for _ in range(arguments.times):
        with tempfile.TemporaryDirectory(prefix="fedgen-benchmark-") as temporary:
            places = [Path(temporary) / name for name in ("ours", "flower", "nvflare")]
            for place in places:
                place.mkdir()
            seconds, timings = ours(places[0])
            if seconds < min(found.get("fedgen simulate", [SECONDS])):
                stages = timings
            found.setdefault("fedgen simulate", []).append(seconds)
            found.setdefault("flwr run", []).append(flower(places[1]))
            if arguments.nvflare:
                found.setdefault("NVIDIA FLARE", []).append(nvflare(places[2], arguments.nvflare))
    print("\n| three rounds of nothing | seconds |\n|---|---|")
    for name, each in found.items():
        print(f"| `{name}` | {min(each):.1f} |")
    print("\n| of ours | seconds |\n|---|---|")
    for name, seconds in stages.items():
        print(f"| {name} | {seconds:.1f} |")
    print(
        f"| the rest: imports, start and end | {min(found['fedgen simulate']) - sum(stages.values()):.1f} |"
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"machine": about, "runs": found, "stages": stages}, indent=1) + "\n")


if __name__ == "__main__":
    main()
