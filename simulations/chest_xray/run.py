"""The chest X-ray study: every family x privacy x seeds; results go into README.md beside this file.

python simulations/chest_xray/run.py --data FOLDER [--out runs/chest_xray] [--seeds 1 2]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedgen.families.registry import specs
from fedgen.pipeline.privacy import rounded_up

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from grid import Cell, finished, over_seeds, pooled, run_cell, table, write_readme  # noqa: E402

FAMILIES = tuple(specs())
PRIVACY = {
    "none": ("privacy.mode=none",),
    "10": ("privacy.epsilon=10",),
    "3": ("privacy.epsilon=3",),
}


VALUE, FLOOR = "synthetic to real", "real to real (floor)"


def auroc(arm: str) -> Callable[[Mapping[str, Any]], float | None]:
    """Reader of one arm's pooled AUROC."""
    return pooled(arm, "AUROC")


def diversity(of: str) -> Callable[[Mapping[str, Any]], float | None]:
    """Reader of the mean MS-SSIM over classes, of synthetic or real pairs."""

    def read(run: Mapping[str, Any]) -> float | None:
        found = [row.get(of) for row in run["rows"] if row.group == "diversity"]
        values = [value.value for value in found if value is not None and value.value is not None]
        return sum(values) / len(values) if values else None

    return read


def row(family: str, level: str, runs: list[Mapping[str, Any]]) -> list[str]:
    """One line of the table."""
    spent = [r["privacy"]["epsilon"]["max"] for r in runs]
    sigmas = [s for r in runs for s in r["privacy"]["noise_multiplier"].values() if s is not None]
    return [
        family,
        "no DP" if level == "none" else f"{rounded_up(max(spent)):.2f}",
        f"{min(sigmas):.1f} to {max(sigmas):.1f}" if sigmas else "—",
        over_seeds(runs, pooled("FID-random_conv", VALUE)),
        over_seeds(runs, pooled("KID-radiomics", VALUE)),
        over_seeds(runs, diversity("synthetic")),
        over_seeds(runs, auroc("TSTR")),
        over_seeds(runs, auroc("TRTR+S")),
        " / ".join(r["audit"]["verdict"] for r in runs),
        str(len(runs)),
    ]


HEADER = [
    "family",
    "epsilon (PRV, max over sites)",
    "noise multiplier",
    "FID random_conv",
    "KID radiomics",
    "MS-SSIM",
    "AUROC TSTR",
    "AUROC real + synthetic",
    "audit, seed by seed",
    "seeds",
]


def tabulate(runs: Mapping[tuple[str, str], list[Mapping[str, Any]]]) -> str:
    """The table of all cells that are done, and what real images score."""
    every = [run for found in runs.values() for run in found]
    rows = [row(family, level, found) for (family, level), found in runs.items() if found]
    floors = [
        f"FID random_conv {over_seeds(every, pooled('FID-random_conv', FLOOR))}",
        f"KID radiomics {over_seeds(every, pooled('KID-radiomics', FLOOR))}",
        f"MS-SSIM of real pairs {over_seeds(every, diversity('real'))}",
        f"AUROC TRTR {over_seeds(every, auroc('TRTR'))}",
        f"AUROC of label-shuffled synthetic {over_seeds(every, auroc('TSTR-shuffled'))}",
        f"AUROC of duplicated real {over_seeds(every, auroc('TRTR+R'))}",
    ]
    return (
        table(HEADER, rows)
        + "\n\nReal against real, the floor or ceiling of each column: "
        + "; ".join(floors)
        + ".\n\nMean ± half range over seeds."
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the images; not needed with --table")
    parser.add_argument("--out", type=Path, default=Path("runs/chest_xray"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--families", nargs="+", default=FAMILIES, choices=FAMILIES)
    parser.add_argument("--table", action="store_true", help="run nothing: tabulate the cells that are done")
    arguments = parser.parse_args()
    if arguments.data is None and not arguments.table:
        parser.error("--data is needed to run cells")
    runs: dict[tuple[str, str], list[Mapping[str, Any]]] = {
        (family, level): [] for family in arguments.families for level in PRIVACY
    }
    # Seeds outermost, so that a grid stopped half-way holds every cell once.
    for seed in arguments.seeds:
        for family, level in runs:
            name = f"{family}-{level}-seed{seed}"
            overrides = (f"model.family={family}", f"study.seed={seed}", *PRIVACY[level])
            if arguments.table:
                found = finished(arguments.out / name)
            else:
                found = run_cell("chest_xray", arguments.data, arguments.out, Cell(name, overrides))
            if found is not None:
                runs[family, level].append(found)
    content = tabulate(runs)
    write_readme(HERE / "README.md", content)
    print(content)


if __name__ == "__main__":
    main()
