"""What the audits say of a model that knows its patients by heart, of one with more of them, and of a private one.

    python simulations/audit_power/overfitted.py [--readme simulations/audit_power/README.md]

The same small model, the same steps: 20 patients, 1000, and 20 under differential privacy. The overfitted one has to
FAIL as a whole; the order of the three is the result, not their values.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from readme_of import publish, table
from worlds import DELTA, DIFFUSION, Trained, site_of, study_of, trained_on

from fedgen.data.site_data import SiteData
from fedgen.evidence.verdict import overall
from fedgen.run.evidence_files import Audited
from fedgen.run.row import Verdict
from fedgen_privacy.statistics.auc import auc

BATCH, HELD_OUT, DRAWN = 20, 100, 60
#: Options and steps.
MODELS: dict[str, tuple[dict[str, Any], int]] = {
    "vae": ({"channels": (16, 32), "latent_size": 16, "reconstruction_std": 0.1}, 300),
    "diffusion": (DIFFUSION, 400),
}
#: Training patients, and the epsilon that they are promised.
ROWS: tuple[tuple[int, float | None], ...] = ((20, None), (1000, None), (20, 3.0))


def made(patients: int, epsilon: float | None, seed: int, family: str = "vae") -> tuple[Trained, SiteData]:
    """A model, and the site it was trained at."""
    options, steps = MODELS[family]
    privacy = {"mode": "none"} if epsilon is None else {"epsilon": epsilon, "delta": DELTA}
    training = {"rounds": 1, "local_steps": steps, "batch_patients": BATCH, "ema": 0.0}
    study = study_of(family, options, training=training, privacy=privacy)
    site = site_of(patients, HELD_OUT, seed)
    return trained_on(study, [site]), site


def area(model: Trained, site: SiteData, patients: int) -> float:
    """AUC of the loss attack."""
    scores = model.attacked().attacks["loss"](site).double().numpy()
    return auc(scores[:patients], scores[patients:])


def line(patients: int, epsilon: float | None, seeds: int, family: str = "vae") -> list[str]:
    """A row of the table."""
    areas, verdicts, reasons = [], [], ""
    started = time.process_time()
    for seed in range(seeds):
        model, site = made(patients, epsilon, seed, family)
        areas.append(area(model, site, patients))
        found = model.audited(site, DRAWN)
        verdicts.append(str(overall(found.rows)[0]))
        reasons = reasons or said(found)
    seconds = (time.process_time() - started) / seeds
    promised = "none" if epsilon is None else f"{epsilon:g}"
    shown = ", ".join(f"{each:.2f}" for each in areas)
    return [f"{patients}", promised, shown, ", ".join(verdicts), reasons, f"{seconds:.0f}"]


def said(found: Audited) -> str:
    """The audits that did not pass."""
    return ", ".join(f"{row.id} {row.verdict}" for row in found.rows if row.verdict is not Verdict.PASS)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--readme", type=Path, help="README whose tables are written anew")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--family", choices=list(MODELS), default="vae")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    header = [
        "patients",
        "epsilon",
        "AUC of the loss, each seed",
        "whole audit",
        "not passed, first seed",
        "core seconds",
    ]
    rows = [line(patients, epsilon, arguments.seeds, arguments.family) for patients, epsilon in ROWS]
    publish(f"overfitted-{arguments.family}", table(header, rows), arguments.readme)


if __name__ == "__main__":
    main()
