"""A private step over a plain step of the same batch: time and memory, ours beside stock Opacus, in the same run.

    python benchmarks/dp_step.py [--quick] [--out FILE.json]

Every family with its default options. A plain step is forward and backward of the mean loss; a private step also
differentiates each patient, clips, adds up and draws the noise. Times are medians of steps taken in turns in one
process; memory is the peak of two steps in a fresh process above what it held before. Opacus runs as it comes, on rows:
with one image and one draw a patient these are patients, except in the GAN, where each has a real row and a fake one.
Growth tables add patients, images and draws, which Opacus knows nothing of.

The benchmark exits 0 whatever the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# Opacus warns of its own hooks in every step.
warnings.filterwarnings("ignore", message="Full backward hook")
# Fresh processes import the parts of this benchmark by the same names.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))

import torch  # noqa: E402
from dp import report  # noqa: E402
from dp.case import Case  # noqa: E402
from dp.contenders import CONTENDERS, MICROBATCH, QUICK  # noqa: E402
from dp.measure import peak_mebibytes, seconds  # noqa: E402
from secagg.meter import machine  # noqa: E402

from fedgen.families.registry import specs  # noqa: E402
from fedgen.run.memory import return_large_buffers  # noqa: E402

CASES = tuple(Case(name, 64) for name, spec in specs().items() if not spec.sums)
#: Small enough for the growth of its batch to be measured in the quick run too.
SMALL = Case("diffusion", 32)
#: How the batch grows: patients, then images of each, then draws of each image.
GROWTH = (
    *({"B": B} for B in (4, 16, 64)),
    *({"m": m} for m in (2, 4, 8)),
    *({"K": K} for K in (2, 4, 8, 16)),
)
#: The same number of rows in each, of ever fewer patients.
QUICK_GROWTH = ({"B": 32}, {"B": 8, "m": 4}, {"B": 8, "K": 4})


def contenders(names: tuple[str, ...], repeats: int) -> list[dict[str, Any]]:
    """Every contender in every case."""
    rows = []
    for case in (*CASES, SMALL):
        took = seconds(case, names, repeats)
        used = {name: None if took[name] is None else peak_mebibytes(case, name) for name in names}
        for name in names:
            rows.append(
                {
                    "model": case.title,
                    "step": name,
                    "seconds": took[name],
                    "time_ratio": report.ratio(took[name], took["plain"]),
                    "mebibytes": used[name],
                    "memory_ratio": report.ratio(used[name], used["plain"]),
                }
            )
        _say(case.title)
    return rows


def growth(
    changes: tuple[dict[str, int], ...], cases: tuple[Case, ...], repeats: int
) -> list[dict[str, Any]]:
    """Ours over plain as the batch grows; in chunks of the default microbatch."""
    rows = []
    for base in cases:
        for change in changes:
            case = replace(base, **change)
            names = ("plain", "vmap", "hooks")
            took = seconds(case, names, repeats)
            used = {name: peak_mebibytes(case, name) for name in names}
            _say(f"growth of {base.title}: {change}")
            for name in names[1:]:
                rows.append(
                    {
                        "model": case.title,
                        "B": case.B,
                        "m": case.m,
                        "K": case.K,
                        "plain": took["plain"],
                        "step": name,
                        "time_ratio": report.ratio(took[name], took["plain"]),
                        "memory_ratio": report.ratio(used[name], used["plain"]),
                    }
                )
    return rows


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


def main() -> None:
    """Command line."""
    started = time.perf_counter()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer repeats and contenders, under two minutes"
    )
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/dp_step[_quick].json")
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    out: Path = arguments.out or HERE / "results" / f"dp_step{'_quick' if quick else ''}.json"

    about = {**machine(), "torch": torch.__version__, "threads": torch.get_num_threads()}
    print(", ".join(f"{key} {value}" for key, value in about.items()), flush=True)
    return_large_buffers()
    compared = contenders(QUICK if quick else tuple(CONTENDERS), 3 if quick else 15)
    grown = growth(QUICK_GROWTH, (SMALL,), 2) if quick else growth(GROWTH, (*CASES, SMALL), 7)

    print(f"\nB = 16 patients of one image with one draw; chunks of {MICROBATCH} unless said")
    print(report.contenders_table(compared))
    print("\nMore patients B, images m of a patient, draws K of an image\n" + report.growth_table(grown))
    print("\nTargets\n" + report.targets(compared))
    record = {"machine": about, "seconds": time.perf_counter() - started, "steps": compared, "growth": grown}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"\nwrote {out} after {record['seconds']:.0f} s")


if __name__ == "__main__":
    main()
