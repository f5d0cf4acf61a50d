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

from readme import table, write_between  # noqa: E402

#: Training records: all but the tenth that is kept for audit and test.
RECORDS = 54_000
EPSILONS = (10.0, 1.0, 0.2)
#: The query for mean images. With the noise that suits epsilon 1 and 10 it would cost nearly all of 0.2; there all
#: records are averaged, twice, with much noise.
QUERY = {
    10.0: "{images: 5, sampling_rate: 0.1, noise_multiplier: 5, clipping_share: 0.3}",
    1.0: "{images: 5, sampling_rate: 0.1, noise_multiplier: 5, clipping_share: 0.3}",
    0.2: "{images: 2, sampling_rate: 1.0, noise_multiplier: 100, clipping_share: 0.3}",
}
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
        ema: decay a step of the model's moving average.
        overrides: of the preset, in every cell.
    """

    preset: str
    steps: int
    batch: int
    local_steps: int
    ema: float
    overrides: tuple[str, ...] = ()


#: Chosen among eleven settings by the accuracy of short trainings WITHOUT privacy, which no epsilon accounts for.
VAE = ("model.vae.reconstruction_std=1.2", "model.vae.latent_size=8", "model.vae.learning_rate=5e-3")
RECIPES = {
    "cpu": Recipe("mnist", steps=320, batch=256, local_steps=10, ema=0.978, overrides=VAE),
    "gpu": Recipe("mnist_gpu", steps=4400, batch=4096, local_steps=20, ema=0.999),
}


def overrides(recipe: Recipe, arm: str, epsilon: float) -> list[str]:
    """The cell's changes of the preset."""
    q = recipe.batch / RECORDS
    rounds = recipe.steps // recipe.local_steps
    changes = [
        *recipe.overrides,
        f"privacy.epsilon={epsilon}",
        f"privacy.central_images={QUERY[epsilon]}",
    ]
    if recipe.preset == "mnist_gpu" and epsilon < 1:
        # the paper's choice at its smallest epsilon
        changes.append("model.diffusion.parametrization=v")
    if arm == "distributed":
        return [
            *changes,
            "privacy.mode=distributed",
            f"privacy.sampling_rate={q}",
            f"training.batch_patients={recipe.batch}",
            f"training.rounds={recipe.steps}",
            "training.local_steps=1",
            f"training.ema={recipe.ema}",
            "aggregation.tolerated_dropouts=0",
        ]
    changes += [f"training.rounds={rounds}", f"training.local_steps={recipe.local_steps}"]
    changes.append(f"training.ema={recipe.ema**recipe.local_steps:.3f}")
    if arm == "local":
        return [*changes, f"training.batch_patients={recipe.batch // 4}"]
    return [
        *changes,
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
    from fedgen.evidence.downstream.classifier import probabilities, train_classifier
    from fedgen.evidence.known_features import extract
    from fedgen.evidence.metrics.feature_moments import FeatureMoments, frechet
    from fedgen.evidence.metrics.standardise import Standardiser
    from fedgen.extractors.random_conv import RandomConvExtractor
    from fedgen.federation.coordinator.rounds import train
    from fedgen.federation.simulation.virtual_sites import reach_virtual_sites, virtual_aggregator
    from fedgen.pipeline.model import trained_networks
    from fedgen.pipeline.privacy import privacy_report
    from fedgen.recipe import Recipe
    from fedgen.run.directory import RunDirectory
    from fedgen.study.load import load_study
    from fedgen_privacy.ledger import Ledger

    study = load_study(recipe.preset, [*overrides(recipe, arm, epsilon), f"study.seed={seed}"])
    compiled = Recipe.of(study)
    run = RunDirectory.create(folder, study.study.name)
    size = study.data.image_size
    images, digits, where = mnist_images(data, size)
    sites = hospitals(images, digits, ["pool"] * len(where) if arm == "central" else where)
    started = time.monotonic()
    names = [site.site for site in sites]
    aggregator = virtual_aggregator(compiled, names, run)
    trained = reach_virtual_sites(
        compiled, sites, run, lambda exchange: train(compiled, exchange, aggregator, run)
    )
    seconds = time.monotonic() - started
    ledgers = {name: Ledger(run.site(name) / "ledger.jsonl").spends() for name in names}
    private = privacy_report(compiled, trained.sites, ledgers, 0)
    labels = torch.arange(IMAGES) % 10
    networks = trained_networks(compiled, trained.checkpoint.ema, study.training.device)
    synthetic = compiled.family.sample(
        networks, {"class": labels}, IMAGES, torch.Generator().manual_seed(seed)
    )
    test, truth, _ = mnist_images(data / "test", size)
    classifier = train_classifier(synthetic, labels, 10, steps=CLASSIFIER_STEPS, seed=seed)
    accuracy = float((probabilities(classifier, test).argmax(dim=1) == truth).double().mean())
    extractor = RandomConvExtractor(1)
    real = extract(extractor, test)
    standardise = Standardiser.fit(real, one_unit=extractor.one_unit)
    moments = FeatureMoments.of(standardise(real).numpy())
    fid, floor = (
        frechet(moments, FeatureMoments.of(standardise(extract(extractor, compared)).numpy()))
        for compared in (synthetic, images[:IMAGES])
    )
    grid = synthetic[:100].reshape(10, 10, 1, *size).permute(2, 0, 3, 1, 4).reshape(1, 10 * size[0], -1)
    write_png(grid[0], folder / "grid.png")
    return {
        "arm": arm,
        "epsilon": private.epsilon,
        "accountant": private.accountant,
        "noise_multiplier": private.sites[0].noise_multiplier,
        "accuracy": accuracy,
        "fid": fid,
        "floor": floor,
        "extractor": f"{extractor.name} {extractor.hash[:12]}",
        "seconds": seconds,
        "losses": {name: value for name, (value, _) in _last_losses(run).items()},
    }


def _last_losses(run: Any) -> dict[str, tuple[float, float]]:
    from fedgen.run.events import RoundDone

    last = run.read_events(RoundDone)[-1].losses
    return {name: (loss.value, loss.std) for name, loss in last.items()}


def hospitals(images: torch.Tensor, digits: torch.Tensor, where: list[str]) -> list[Any]:
    """The records by site; every tenth is kept for audit and test, as the preset's split does, and trains nothing."""
    from fedgen.data.site_data import Part, SiteData

    made = []
    for name in sorted(set(where)):
        own = torch.tensor([number for number, site in enumerate(where) if site == name])
        parts = torch.full((len(own),), int(Part.TRAIN))
        parts[own % 20 == 0], parts[own % 20 == 10] = int(Part.AUDIT), int(Part.TEST)
        classes = tuple(str(digit) for digit in range(10))
        made.append(SiteData(name, classes, images[own].half(), digits[own], torch.arange(len(own)), parts))
    return made


def write_png(image: torch.Tensor, path: Path) -> None:
    """(H, W) in [-1, 1]."""
    import numpy as np
    from PIL import Image

    Image.fromarray(((image.numpy() + 1) * 127.5).round().clip(0, 255).astype(np.uint8)).save(path)


def mnist_images(folder: Path, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """(n, 1, H, W) in [-1, 1], digits and sites of a prepared folder, resampled to the study's size."""
    import csv

    import numpy as np
    from PIL import Image
    from torch.nn.functional import interpolate

    with (folder / "metadata.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    pixels = np.stack([np.asarray(Image.open(folder / row["image"])) for row in rows])
    images = torch.from_numpy(pixels).float()[:, None] / 127.5 - 1
    images = interpolate(images, size=size, mode="bilinear", antialias=True).clamp(-1, 1)
    return images, torch.tensor([int(row["label"]) for row in rows]), [row["site"] for row in rows]


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
                        f"{cell['seconds'] / 60:.1f} min",
                    ]
                )
    header = ["epsilon", "where", "sigma", "accuracy", "FID random_conv", "its real-real floor", "training"]
    write_between(HERE / "README.md", f"private {arguments.recipe}", table(header, rows))
    print(table(header, rows))


if __name__ == "__main__":
    main()
