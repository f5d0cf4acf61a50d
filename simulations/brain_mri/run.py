"""The tables and pictures of this folder's README: train in one process, judge with all patients in one place.

python simulations/brain_mri/run.py tissue DATA --out OUT
python simulations/brain_mri/run.py flair DATA --out OUT

DATA is a folder of BIDS-like NIfTI with participants.tsv. A row that OUT has is not made again. Pictures there show
real patients too, and are for your own eyes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from brain_mri.folders import contrasts, tissue
from in_process import trained
from readme import table, write_between

from fedgen.data.cache.store import cache_folder
from fedgen.data.prepare import prepare_sites
from fedgen.data.site_data import Part, SiteData
from fedgen.evidence.downstream.segmentation import Segmentation
from fedgen.evidence.measure import Real
from fedgen.evidence.translating import Translating
from fedgen.evidence.translation.cases import cases_of
from fedgen.evidence.translation.quality import Quality
from fedgen.pipeline.model import trained_networks, translating
from fedgen.run.row import Row
from fedgen.study.load import load_study
from fedgen.study.study import Study
from fedgen.synthesis.synthesize import synthesize

HERE = Path(__file__).resolve().parent
#: No privacy, and the largest epsilon of any site; a patient's all images are the unit.
EPSILONS = (None, 10, 3)
SEEDS = (1, 2)
DELTA = 1e-3


def rows_of(what: str) -> Iterator[tuple[str, list[str]]]:
    """A row's family, and what it changes in the study."""
    if what == "tissue":
        yield "latent", []
        yield (
            "vae",
            ["model.family=vae", "training.rounds=15", "training.local_steps=8", "training.batch_patients=6"],
        )
    else:
        yield "translate_gan", []


def study_of(what: str, changes: list[str], epsilon: float | None, seed: int) -> Study:
    """The study file with what a row changes."""
    private = (
        []
        if epsilon is None
        else ["privacy.mode=local", f"privacy.epsilon={epsilon}", f"privacy.delta={DELTA}"]
    )
    return load_study(str(HERE / f"{what}.yaml"), [*changes, *private, f"study.seed={seed}"])


def run_tissue(study: Study, sites: list[SiteData], folder: Path, picture: Path | None) -> list[Row]:
    """Train, draw pairs and judge them."""
    recipe, model = trained(study, sites, folder, None)
    networks = trained_networks(recipe, model, "cpu")
    made = synthesize(
        recipe.family, networks, study.synthesis, study.data.classes, recipe.task, seed=study.study.seed
    )
    if picture is not None and made.masks is not None:
        real = sites[0].part(Part.TRAIN)
        assert real.masks is not None
        shown = [
            [*real.images[:: max(1, real.n_images // 8), 0][:8].float()],
            [
                *torch.where(real.masks > 4, 0, real.masks)[:: max(1, real.n_images // 8), 0][:8].float() / 2
                - 1
            ],
            [*made.images[:8, 0]],
            [*made.masks[:8, 0].float() / 2 - 1],
        ]
        draw(picture, ["real", "its labels", "synthetic", "its labels"], shown)
    real = Real(sites, study.data.mask_classes)
    return [*Segmentation(study.evaluation).measure(real, made, None, study.study.seed)]


def run_flair(study: Study, sites: list[SiteData], folder: Path, picture: Path | None) -> list[Row]:
    """Train, translate the test patients' images and judge them."""
    recipe, model = trained(study, sites, folder, None)
    how = translating(recipe, trained_networks(recipe, model, "cpu"), "cpu")
    if picture is not None:
        draw(picture, *_translated(sites, how))
    return [*Quality(study.evaluation).measure(Real(sites), how, study.study.seed)]


def _translated(sites: list[SiteData], how: Translating) -> tuple[list[str], list[list[torch.Tensor]]]:
    test = cases_of(Real(sites), Part.TEST, how.task)
    middle = [
        rows[len(rows) // 2]
        for patient in test.patients.unique()
        for rows in [(test.patients == patient).nonzero().flatten()]
    ][:6]
    one = test.only(torch.stack(middle))
    made = how.make(one.given())
    error = (2 * (made - one.target).abs()).clamp(0, 2) - 1
    names = [*how.sources, f"made {how.target}", f"real {how.target}", "error (white: half the window)"]
    shown = [*(one.own(name) for name in how.sources), made, one.target, error]
    return names, [[*each[:, 0]] for each in shown]


def draw(path: Path, names: list[str], rows: list[list[torch.Tensor]]) -> None:
    """A row of images a name."""
    columns = max(len(row) for row in rows)
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(1.9 + columns * 1.1, len(rows) * 1.15), squeeze=False
    )
    for line, name, images in zip(axes, names, rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, image in zip(line, images, strict=False):
            axis.imshow(np.asarray(image), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        line[0].text(-0.1, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=8)
    figure.subplots_adjust(
        left=1.9 / (1.9 + columns * 1.1), right=0.995, top=0.995, bottom=0.005, wspace=0.04, hspace=0.04
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("tissue", "flair"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--readme", type=Path, default=HERE / "README.md")
    asked = parser.parse_args()
    folder = (tissue if asked.what == "tissue" else contrasts)(asked.data, asked.out)
    run: Callable[..., list[Row]] = run_tissue if asked.what == "tissue" else run_flair
    found = []
    for family, changes in rows_of(asked.what):
        for epsilon in EPSILONS:
            for seed in SEEDS:
                name = f"{asked.what}-{family}-{'none' if epsilon is None else epsilon}-{seed}"
                kept = asked.out / f"{name}.json"
                if not kept.exists():
                    study = study_of(asked.what, changes, epsilon, seed)
                    sites = prepare_sites(study, folder, asked.out / f"{name}-data", cache_folder()).sites
                    picture = asked.out / f"{name}.png" if seed == SEEDS[0] else None
                    began = time.process_time()
                    evaluated = run(study, sites, asked.out / name, picture)
                    seconds = time.process_time() - began
                    patients = {part.name: sum(s.part(part).n_patients for s in sites) for part in Part}
                    told = [row.model_dump(mode="json") for row in evaluated]
                    kept.write_text(json.dumps({"seconds": seconds, "n": patients, "rows": told}))
                    print(name, f"{seconds:.0f} core seconds", flush=True)
                found.append((family, epsilon, seed, json.loads(kept.read_text())))
    write_between(asked.readme, asked.what, _table(asked.what, found))


def _table(what: str, found: list[tuple[str, float | None, int, dict[str, Any]]]) -> str:
    if what == "tissue":
        columns = [(f"{arm} Dice", f"segmentation-{arm}", "Dice")
                   for arm in ("TRTR", "TSTR", "TRTR+S", "TRTR-shuffled", "TSTR-shuffled", "site-alone")]  # fmt: skip
        columns.append(("TSTR HD95, mm", "segmentation-TSTR", "HD95, mm"))
        judged = "segmentation-TSTR"
    else:
        columns = [(f"{name} {metric}", f"translation-{arm}", metric)
                   for metric in ("MAE", "NMSE", "SSIM")
                   for arm, name in (("model", "model"), ("linear", "linear map"), ("mean", "mean"))]  # fmt: skip
        judged = "translation-model"
    lines = []
    for family, epsilon, seed, each in found:
        rows = {row["id"]: row for row in each["rows"]}
        verdict = next((finding["verdict"] for finding in rows[judged]["findings"]), "")
        cells = [_cell(rows.get(row), value) for _, row, value in columns]
        lines.append([family, "none" if epsilon is None else f"{epsilon:g}", str(seed), *cells, verdict])
    n = found[0][3]["n"]
    head = f"{n['TRAIN']} training and {n['TEST']} test patients with seed {found[0][2]}.\n\n"
    return head + table(["family", "epsilon", "seed", *(title for title, _, _ in columns), "verdict"], lines)


def _cell(row: dict[str, Any] | None, name: str) -> str:
    value = next((v for v in (row or {}).get("values", ()) if v["name"] == name), None)
    if value is None or value["value"] is None:
        return "–"
    low, high = value["low"], value["high"]
    return f"{value['value']:.3g} [{low:.2g}, {high:.2g}]" if low is not None else f"{value['value']:.3g}"


if __name__ == "__main__":
    main()
