"""What privacy costs and where the noise is made: MNIST at epsilon 10, 1 and 0.2, in one place and at four sites.

    python simulations/mnist/prepare.py FOLDER_OF_IDX_FILES DATA
    python simulations/mnist/private.py --data DATA [--out runs/mnist_private] [--recipe cpu] [--only distributed]

Each cell is a training in a process of its own; cells that are done are not run again. A cell is judged by a
classifier that is trained on synthetic images alone and tested on MNIST's own 10 000 test digits, which no training
has seen, and by the FID between those and the synthetic images under the extractor named in the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from grid import table, write_between  # noqa: E402

#: Training records: all but the tenth that is kept for audit and test.
RECORDS = 54_000
EPSILONS = (10.0, 1.0, 0.2)
#: The query for mean images costs a share of epsilon; with sigma 5 nearly all of 0.2.
QUERY_SIGMA = {10.0: 5.0, 1.0: 10.0, 0.2: 30.0}
CLASSIFIER_STEPS = 1500
IMAGES = 10_000


@dataclass(frozen=True)
class Recipe:
    """How long and how large.

    Attributes:
        preset: study that it changes.
        steps: private steps in all.
        batch: expected records in a step, of all sites together.
        local_steps: steps in a round, where steps are a site's own.
        overrides: of the preset, in every cell.
    """

    preset: str
    steps: int
    batch: int
    local_steps: int
    overrides: tuple[str, ...] = ()


RECIPES = {
    "cpu": Recipe("mnist", steps=160, batch=512, local_steps=10),
    "gpu": Recipe("mnist_gpu", steps=4400, batch=4096, local_steps=20),
}


def overrides(recipe: Recipe, arm: str, epsilon: float) -> list[str]:
    """The cell's changes of the preset."""
    q = recipe.batch / RECORDS
    rounds = recipe.steps // recipe.local_steps
    changes = [
        *recipe.overrides,
        f"privacy.epsilon={epsilon}",
        f"privacy.central_images={{noise_multiplier: {QUERY_SIGMA[epsilon]}}}",
    ]
    if arm == "distributed":
        return [
            *changes,
            "privacy.mode=distributed",
            f"privacy.sampling_rate={q}",
            f"training.batch_patients={recipe.batch}",
            f"training.rounds={recipe.steps}",
            "training.local_steps=1",
            # a round is a step here: the same memory as over a round of several
            f"training.ema={0.8 ** (1 / recipe.local_steps):.4f}",
            "aggregation.tolerated_dropouts=0",
        ]
    changes += [f"training.rounds={rounds}", f"training.local_steps={recipe.local_steps}", "training.ema=0.8"]
    if arm == "local":
        return [*changes, f"training.batch_patients={recipe.batch // 4}"]
    return [
        *changes,
        "data.columns.site=pool",
        f"training.batch_patients={recipe.batch}",
        "aggregation.secure=false",
        "aggregation.minimum_sites=1",
    ]


ARMS = {
    "central": "one trusted place",
    "distributed": "4 sites, `distributed`",
    "local": "4 sites, `local`",
}


def run_cell(recipe: Recipe, arm: str, epsilon: float, seed: int, data: Path, folder: Path) -> dict[str, Any]:
    """Train, sample, judge."""
    from fedgen.evaluation.classifier import probabilities, train_classifier
    from fedgen.evaluation.distances import frechet_distance
    from fedgen.evaluation.extractors.random_conv import RandomConvExtractor
    from fedgen.evaluation.fidelity import extract
    from fedgen.evaluation.standardise import Standardiser
    from fedgen.pipeline import stages
    from fedgen.pipeline.workspace import Workspace
    from fedgen.study.load import load_study

    study = load_study(recipe.preset, [*overrides(recipe, arm, epsilon), f"study.seed={seed}"])
    work = Workspace.create(study, data, folder)
    started = time.monotonic()
    _ = work.data
    prepared = time.monotonic()
    stages.train(work)
    trained = time.monotonic()
    size = tuple(study.data.image_size)
    labels = torch.arange(IMAGES) % 10
    rng = torch.Generator().manual_seed(seed)
    synthetic = work.family.sample(work.networks(work.trained().ema), labels, rng)
    test, digits = mnist_images(data / "test", size)
    train, _ = mnist_images(data, size, IMAGES)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = train_classifier(synthetic, labels, 10, steps=CLASSIFIER_STEPS, seed=seed)
    accuracy = float((probabilities(classifier, test).argmax(dim=1) == digits).double().mean())
    extractor = RandomConvExtractor(1)
    real = extract(extractor, test)
    standardise = Standardiser.fit(real)
    fid, floor = (
        frechet_distance(standardise(real), standardise(extract(extractor, images)))
        for images in (synthetic, train)
    )
    private = json.loads((work.run.path / "privacy.json").read_text(encoding="utf-8"))
    return {
        "arm": arm,
        "epsilon": private["epsilon"],
        "accountant": private["accountant"],
        "noise_multiplier": private["sites"][0]["noise_multiplier"],
        "accuracy": accuracy,
        "fid": fid,
        "floor": floor,
        "extractor": f"{extractor.name} {extractor.hash[:12]}",
        "seconds": {"prepare": prepared - started, "train": trained - prepared},
        "run": work.run.path.name,
    }


def mnist_images(
    folder: Path, size: tuple[int, int], most: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, 1, H, W) in [-1, 1] and digits of a prepared folder, resampled as the study's are."""
    import csv

    import numpy as np
    from PIL import Image
    from torch.nn.functional import interpolate

    with (folder / "metadata.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))[:most]
    pixels = np.stack([np.asarray(Image.open(folder / row["image"])) for row in rows])
    images = torch.from_numpy(pixels).float()[:, None] / 127.5 - 1
    images = interpolate(images, size=size, mode="bilinear", antialias=True).clamp(-1, 1)
    return images, torch.tensor([int(row["label"]) for row in rows])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="what prepare.py wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/mnist_private"))
    parser.add_argument("--recipe", choices=RECIPES, default="cpu")
    parser.add_argument("--only", choices=ARMS, help="one arm")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cell", nargs=2, metavar=("ARM", "EPSILON"), help="run this cell in this process")
    parser.add_argument("--table", action="store_true", help="run nothing: tabulate the cells that are done")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.recipe]
    if arguments.data is None and not arguments.table:
        parser.error("--data is needed to run cells")
    if arguments.cell:
        arm, epsilon = arguments.cell[0], float(arguments.cell[1])
        folder = arguments.out / f"{arguments.recipe}-{arm}-{epsilon:g}-seed{arguments.seed}"
        found = run_cell(recipe, arm, epsilon, arguments.seed, arguments.data, folder)
        (folder / "cell.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return
    rows = []
    for epsilon in EPSILONS:
        for arm in ARMS if arguments.only is None else (arguments.only,):
            done = arguments.out / f"{arguments.recipe}-{arm}-{epsilon:g}-seed{arguments.seed}" / "cell.json"
            if not done.exists() and not arguments.table:
                print(f"epsilon {epsilon:g}, {ARMS[arm]}", flush=True)
                subprocess.run(
                    [sys.executable, __file__, *sys.argv[1:], "--cell", arm, str(epsilon)], check=True
                )
            if done.exists():
                cell = json.loads(done.read_text(encoding="utf-8"))
                rows.append(
                    [
                        f"{cell['epsilon']:.2f} ({cell['accountant']})",
                        ARMS[arm],
                        f"{cell['noise_multiplier']:.3g}",
                        f"{cell['accuracy']:.1%}",
                        f"{cell['fid']:.3g}",
                        f"{cell['floor']:.3g}",
                        f"{cell['seconds']['train'] / 60:.1f} min",
                    ]
                )
    header = ["epsilon", "where", "sigma", "accuracy", "FID random_conv", "its real-real floor", "training"]
    write_between(HERE / "README.md", f"private {arguments.recipe}", table(header, rows))
    print(table(header, rows))


if __name__ == "__main__":
    main()
