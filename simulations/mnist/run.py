"""The MNIST study on a CPU: epsilon 10 and no privacy; results go into README.md beside this file.

python simulations/mnist/prepare.py FOLDER_OF_IDX_FILES DATA
python simulations/mnist/run.py --data DATA [--out runs/mnist] [--seeds 1]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fedgen.families.registry import specs
from fedgen.pipeline.privacy import rounded_up

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from grid import Cell, finished, over_seeds, pooled, run_cell, table, write_readme  # noqa: E402

PRIVACY = {"none": ("privacy.mode=none",), "10": ("privacy.epsilon=10",)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the images; not needed with --table")
    parser.add_argument("--out", type=Path, default=Path("runs/mnist"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--family", default="vae", choices=tuple(specs()))
    parser.add_argument("--table", action="store_true", help="run nothing: tabulate the cells that are done")
    arguments = parser.parse_args()
    if arguments.data is None and not arguments.table:
        parser.error("--data is needed to run cells")
    rows = []
    for level, overrides in PRIVACY.items():
        runs = []
        for seed in arguments.seeds:
            name = f"{arguments.family}-{level}-seed{seed}"
            cell = Cell(name, (f"model.family={arguments.family}", f"study.seed={seed}", *overrides))
            if arguments.table:
                found = finished(arguments.out / name)
            else:
                found = run_cell("mnist", arguments.data, arguments.out, cell)
            if found is not None:
                runs.append(found)
        if not runs:
            continue
        epsilons = [run["privacy"]["epsilon"]["max"] for run in runs]
        rows.append(
            [
                arguments.family,
                "no DP" if level == "none" else f"{rounded_up(max(epsilons)):.2f}",
                over_seeds(runs, pooled("FID-random_conv", "synthetic to real")),
                over_seeds(runs, pooled("FID-random_conv", "real to real (floor)")),
                over_seeds(runs, pooled("TSTR", "balanced accuracy")),
                over_seeds(runs, pooled("TRTR", "balanced accuracy")),
                " / ".join(run["audit"]["verdict"] for run in runs),
            ]
        )
    header = [
        "family",
        "epsilon (PRV, max over sites)",
        "FID random_conv",
        "its real-real floor",
        "balanced accuracy TSTR",
        "balanced accuracy TRTR",
        "audit",
    ]
    write_readme(HERE / "README.md", table(header, rows))
    print(table(header, rows))


if __name__ == "__main__":
    main()
