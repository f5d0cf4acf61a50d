"""Where the demonstration's time goes, stage by stage: the share spent inside torch, and what is outside.

    python benchmarks/profile_demo.py [--set KEY=VALUE ...] [--out FILE.json]

Each stage of the preset `demo` runs in this process under cProfile, training over sites called directly, so that
a site's own work is seen without Flower's and Ray's start (their time is a row of its own: the same training through
the simulation, minus the direct one). A function counts as torch where it is torch's own, or the native code it calls.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fedgen.federation.aggregation import PlainAggregator
from fedgen.federation.coordinator import train as train_rounds
from fedgen.federation.exchange import DirectExchange
from fedgen.federation.site import Site
from fedgen.pipeline import stages
from fedgen.pipeline.simulate import timed
from fedgen.pipeline.workspace import Workspace
from fedgen.run.directory import RunDirectory
from fedgen.study.load import load_study

INSIDE = ("/torch/", "torch._C", "built-in method torch", "TensorBase", "run_backward", "_VariableFunctions")


def is_torch(function: tuple[str, int, str]) -> bool:
    """Whether a profiled function is torch's."""
    path, _, name = function
    return any(mark in path or mark in name for mark in INSIDE)


def profiled(action: Callable[[], Any]) -> tuple[float, float, list[tuple[str, float]]]:
    """Seconds in all, seconds in torch, and the three dearest functions outside it."""
    profile = cProfile.Profile()
    started = time.perf_counter()
    profile.runcall(action)
    seconds = time.perf_counter() - started
    rows = [(function, entry[2]) for function, entry in pstats.Stats(profile).stats.items()]  # type: ignore[attr-defined]
    inside = sum(own for function, own in rows if is_torch(function))
    outside = sorted(((own, f) for f, own in rows if not is_torch(f)), reverse=True)[:3]
    return seconds, inside, [(f"{Path(f[0]).name}:{f[2]}", own) for own, f in outside]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    study = load_study("demo", arguments.overrides)
    with tempfile.TemporaryDirectory() as folder:
        work = Workspace.create(study, None, Path(folder))
        result = {"prepare": profiled(lambda: work.data)}
        sites: list[Site] = []
        direct = RunDirectory(work.run.path / "direct")

        def plan() -> None:
            sites.extend(Site(study, data, direct.site(data.site)) for data in work.data.sites)

        result["plan (noise calibration)"] = profiled(plan)
        result["train, local steps"] = profiled(
            lambda: train_rounds(study, DirectExchange(sites), PlainAggregator(), direct)
        )
        started = time.perf_counter()
        with timed(work, "train"):
            stages.train(work)
        simulated = time.perf_counter() - started
        for name, stage in (
            ("synthesize", stages.synthesize),
            ("audit", stages.audit),
            ("evaluate", stages.evaluate),
            ("report", stages.report),
        ):
            result[name] = profiled(lambda stage=stage: stage(work))  # type: ignore[misc]
    print("| stage | seconds (profiled, one thread) | in torch | dearest outside torch |")
    print("| --- | --- | --- | --- |")
    for name, (seconds, inside, outside) in result.items():
        dearest = ", ".join(f"{where} {own:.1f} s" for where, own in outside if own > 0.05)
        print(f"| {name} | {seconds:.1f} | {inside / seconds:.0%} | {dearest} |")
    print(f"\nTraining through Flower's simulation, with its start, on all cores: {simulated:.1f} s.")
    if arguments.out:
        rows = {n: {"seconds": s, "torch": i, "outside": o} for n, (s, i, o) in result.items()}
        arguments.out.write_text(
            json.dumps({"stages": rows, "simulated": simulated}, indent=2), encoding="utf-8"
        )


if __name__ == "__main__":
    sys.exit(main())
