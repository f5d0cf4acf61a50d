"""The chest X-ray study: three families x privacy x seeds; results go into README.md beside this file.

python simulations/chest_xray/run.py --data FOLDER [--out runs/chest_xray] [--seeds 1 2]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from grid import Cell, over_seeds, run_cell, table, write_readme  # noqa: E402

FAMILIES = ("vae", "gan", "diffusion")
PRIVACY = {
    "none": ("privacy.mode=none",),
    "10": ("privacy.epsilon=10",),
    "3": ("privacy.epsilon=3",),
}


def auroc(arm: str) -> Any:
    """Reader of one arm's pooled AUROC."""

    def read(run: Mapping[str, Any]) -> float | None:
        return run["evaluation"]["auroc"].get(arm)

    return read


def fidelity(metric: str) -> Any:
    """Reader of one fidelity value."""

    def read(run: Mapping[str, Any]) -> float | None:
        return run["evaluation"]["fidelity"][metric]["value"]

    return read


def diversity(of: str) -> Any:
    """Reader of the mean MS-SSIM over classes, of synthetic or real pairs."""

    def read(run: Mapping[str, Any]) -> float | None:
        found = [c[of] for c in run["evaluation_full"]["diversity"]["classes"] if c[of] is not None]
        return sum(found) / len(found) if found else None

    return read


def row(family: str, level: str, runs: list[Mapping[str, Any]]) -> list[str]:
    """One line of the table."""
    spent = [r["privacy"]["epsilon"]["max"] for r in runs]
    sigmas = [s for r in runs for s in r["privacy"]["noise_multiplier"].values() if s is not None]
    minutes = [sum(r["timings"].values()) / 60 for r in runs]
    return [
        family,
        "no DP" if level == "none" else f"{max(spent):.2f}",
        f"{min(sigmas):.1f} to {max(sigmas):.1f}" if sigmas else "—",
        over_seeds(runs, fidelity("FID random_conv")),
        over_seeds(runs, fidelity("KID radiomics")),
        over_seeds(runs, diversity("synthetic")),
        over_seeds(runs, auroc("TSTR")),
        over_seeds(runs, auroc("TRTR+S")),
        " / ".join(r["audit"]["verdict"] for r in runs),
        f"{sum(minutes) / len(minutes):.1f}",
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/chest_xray"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--families", nargs="+", default=FAMILIES, choices=FAMILIES)
    arguments = parser.parse_args()
    rows, every = [], []
    # Seeds outermost, so that a grid stopped half-way holds every cell once.
    runs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for seed in arguments.seeds:
        for family in arguments.families:
            for level, overrides in PRIVACY.items():
                cell = Cell(
                    f"{family}-{level}-seed{seed}",
                    (f"model.family={family}", f"study.seed={seed}", *overrides),
                )
                run = run_cell("chest_xray", arguments.data, arguments.out, cell)
                runs.setdefault((family, level), []).append(run)
                every.append(run)
    for family in arguments.families:
        for level in PRIVACY:
            rows.append(row(family, level, runs[family, level]))
    header = [
        "family",
        "epsilon (PRV, max over sites)",
        "noise multiplier",
        "FID random_conv",
        "KID radiomics",
        "MS-SSIM",
        "AUROC TSTR",
        "AUROC real + synthetic",
        "audit, seed by seed",
        "minutes",
    ]
    floors = [
        f"FID random_conv {over_seeds(every, lambda r: r['evaluation']['fidelity']['FID random_conv']['floor'])}",
        f"KID radiomics {over_seeds(every, lambda r: r['evaluation']['fidelity']['KID radiomics']['floor'])}",
        f"MS-SSIM of real pairs {over_seeds(every, diversity('real'))}",
        f"AUROC TRTR {over_seeds(every, auroc('TRTR'))}",
        f"AUROC of label-shuffled synthetic {over_seeds(every, auroc('TSTR-shuffled'))}",
        f"AUROC of duplicated real {over_seeds(every, auroc('TRTR+R'))}",
    ]
    content = (
        table(header, rows)
        + "\n\nReal against real, the floor or ceiling of each column: "
        + "; ".join(floors)
        + f".\n\nMean and half range over seeds {', '.join(map(str, arguments.seeds))}."
    )
    write_readme(HERE / "README.md", content)
    print(content)


if __name__ == "__main__":
    main()
