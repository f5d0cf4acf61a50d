"""Where the demonstration's time goes, stage by stage: the share spent inside torch, and what is outside.

    python benchmarks/profile_demo.py [--set KEY=VALUE ...] [--out FILE.json]

Each stage of the preset `demo` runs in this process, on one thread, twice: once as it is, for its wall time (with
the import of whatever libraries it is the first to need), and once under cProfile, for the share of torch. cProfile
slows Python down several times and native code not at all, so the share printed is a LOWER bound. Training runs over
sites called directly, so that a site's own work is seen without Flower's and Ray's start; their time is a line of its
own: the same training through the simulation, there with secure aggregation where the study asks for it.

A function counts as torch where it is torch's own or native code of torch's. Operators count too: `a * b` on tensors
runs in native code that cProfile charges to whoever wrote it, so a function mode turns every operator into a call that
cProfile can see; the mode's own time is left out. Work in other threads, such as decoding images, shows as waiting
for a lock. The stages `phantom`, `prepare`, `plan` and `report` contain no torch by nature: files, numerical
convolutions of one dimension in numpy, and text.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from fedgen.data.phantom.write import write_phantom
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train as train_rounds
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.stages import ASSESS, REPORT, SYNTHESIZE, TRAIN
from fedgen.pipeline.watch import SILENT, timed
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.study.load import load_study
from fedgen_privacy import accounting

INSIDE = ("/torch/", "torch._C", "built-in method torch", "TensorBase", "run_backward", "_VariableFunctions")


#: What makes operators visible; neither torch's work nor anyone's.
MEASURING = (Path(__file__).name, "/torch/overrides.py")


@dataclass(frozen=True)
class Row:
    """One stage.

    Attributes:
        seconds: wall time without a profiler.
        profiled: seconds of the profiled run, less the measuring.
        inside: of these, seconds in torch.
        outside: the dearest functions outside torch, and their own seconds in the profiled run.
    """

    seconds: float
    profiled: float
    inside: float
    outside: list[tuple[str, float]]


class VisibleOperators(TorchFunctionMode):
    """Every operator on a tensor becomes a call, which cProfile sees."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return func(*args, **(kwargs or {}))


def is_torch(function: tuple[str, int, str]) -> bool:
    """Whether a profiled function is torch's."""
    path, _, name = function
    return any(mark in path or mark in name for mark in INSIDE)


def measured(plain: Callable[[], Any], again: Callable[[], Any] | None = None) -> Row:
    """Run a stage as it is, then under the profiler; `again` where the second run is another call."""
    started = time.perf_counter()
    plain()
    seconds = time.perf_counter() - started
    profile = cProfile.Profile()
    with VisibleOperators():
        profile.runcall(again or plain)
    rows = [
        (function, entry[2])
        for function, entry in pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
        if not any(mark in function[0] for mark in MEASURING)
    ]
    inside = sum(own for function, own in rows if is_torch(function))
    outside = sorted(((own, f) for f, own in rows if not is_torch(f)), reverse=True)[:3]
    dearest = [(f"{Path(f[0]).name}:{f[2]}", own) for own, f in outside]
    return Row(seconds, sum(own for _, own in rows), inside, dearest)


def forget_noise() -> None:
    """Calibrate anew: the second run of the same plan would only look it up."""
    for cached in (accounting.calibrate_noise, accounting._rdp_of_one_step, accounting._upper_bound_prv):
        cached.cache_clear()


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
    if study.data.phantom is None:
        parser.error("data.phantom must stay: the demonstration makes its own images")
    # Sites that are called directly mask nothing: secure aggregation is part of the simulation's time alone.
    clear = load_study("demo", [*arguments.overrides, "aggregation.secure=false"])
    phantom, seed = study.data.phantom, study.study.seed
    with tempfile.TemporaryDirectory() as folder:
        runs = [Simulation.create(study, None, Path(folder) / name) for name in ("plain", "profiled")]
        here, work = runs[0], runs[0].work
        result = {
            "phantom": measured(
                *(partial(write_phantom, each.work.run.data / "phantom", phantom, seed) for each in runs)
            ),
            "prepare": measured(*(partial(getattr, each, "data") for each in runs)),
        }
        directs = [RunDirectory(work.run.path / name) for name in ("direct", "direct-profiled")]
        sites: list[list[Site]] = []

        def plan() -> None:
            forget_noise()
            direct = directs[len(sites)]
            sites.append([Site(Recipe.of(clear), data, direct.site(data.site)) for data in here.sites])

        result["plan (noise calibration)"] = measured(plan)
        result["train, local steps"] = measured(
            *(
                partial(train_rounds, Recipe.of(clear), DirectExchange(own), PlainAggregator(), direct)
                for own, direct in zip(sites, directs, strict=True)
            )
        )
        started = time.perf_counter()
        with timed(work, "train"):
            TRAIN.action(here, SILENT)
        simulated = time.perf_counter() - started
        for stage in (SYNTHESIZE, ASSESS, REPORT):
            result[stage.name] = measured(partial(stage.action, here, SILENT))
    print("| stage | seconds | in torch | dearest outside torch (seconds, profiled) |")
    print("| --- | --- | --- | --- |")
    for name, row in result.items():
        dearest = ", ".join(f"{where} {own:.1f}" for where, own in row.outside if own > 0.05)
        print(f"| {name} | {row.seconds:.1f} | {row.inside / row.profiled:.0%} | {dearest} |")
    print(f"\nTraining through Flower's simulation, with its start, on all cores: {simulated:.1f} s.")
    if arguments.out:
        rows = {name: asdict(row) for name, row in result.items()}
        arguments.out.write_text(
            json.dumps({"stages": rows, "simulated": simulated}, indent=2), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
