"""The family `latent` on chest X-rays: how well a judge that learned from synthetic images alone reads real ones.

    python simulations/chest_xray/latent.py FOLDER [--grid samples.png] [--prior FILE] [--seeds 3]

FOLDER is the one that the study `chest_xray` takes. The label is the view (PA or AP), which is in the picture; what the
site alone tells of it is printed beside. All sites are in this process, with the very code that a federation runs:
charges, noise, and in mode distributed the secure aggregation. The judge is a logistic regression on pixels.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fedgen.data.prepare import prepare_sites
from fedgen.data.site_data import Part, SiteData
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import keyholder, roster
from fedgen.pipeline.pretrained_start import given_start, keep_start, refuse_same_patients
from fedgen.priors.file import read_prior
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.study.load import load_study
from fedgen.study.study import Study

IMAGES, SHOWN = 400, 8
VIEW = (
    "model.family=latent",
    "data.columns.label=view",
    "data.labels=[PA, AP]",
    "data.one_class_sites=allow",
    "data.other_labels=exclude",
    # The noise of a sum that may miss a site is larger.
    "aggregation.tolerated_dropouts=0",
)
EPSILONS = (1.0, 3.0, 10.0)


def asked(mode: str, epsilon: float, patients: int, *more: str) -> Study:
    """The study; in mode distributed with the public number of patients."""
    changes = [*VIEW, f"privacy.mode={mode}", f"privacy.epsilon={epsilon}", *more]
    if mode == "distributed":
        changes += [f"privacy.sampling_rate={8 / patients}", "training.batch_patients=8"]
    return load_study("chest_xray", changes)


def images_of(sites: list[SiteData], part: Part) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(n, pixels) and their labels (n,)."""
    parts = [site.part(part) for site in sites]
    images = torch.cat([site.images.float().flatten(1) for site in parts])
    return images.numpy(), torch.cat([site.labels for site in parts]).numpy()


def trained(
    study: Study, sites: list[SiteData], folder: Path, prior: Path | None
) -> tuple[Recipe, torch.Tensor]:
    """The model after the one round."""
    run = RunDirectory(folder)
    run.path.mkdir(parents=True)
    start = given_start(study, prior)
    refuse_same_patients(study, None if start is None else start.origin, [site.site for site in sites])
    keep_start(run, start)
    recipe = Recipe.of(study).on_frozen(run.pretrained)
    names = roster({site.site: run.site(site.site) for site in sites})
    here = []
    for site in sites:
        own = run.site(site.site)
        holder = keyholder(recipe, names, site.site, own) if study.aggregation.secure else None
        here.append(Site(recipe, site, own, holder, roster_size=len(sites)))
    secure = study.aggregation.secure
    aggregator = (
        SecureAggregator(recipe, names) if secure else PlainAggregator(recipe.mechanism.vector.length)
    )
    done = train(recipe, DirectExchange(here), aggregator, run)
    return recipe, done.checkpoint.ema


def sampled(recipe: Recipe, model: torch.Tensor, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """n images, as many of each class."""
    labels = torch.arange(n) % len(recipe.task.classes)
    rng = torch.Generator().manual_seed(seed)
    return recipe.family.sample(recipe.networks(model), {"class": labels}, n, rng), labels


def auroc(
    train_x: NDArray[np.float32], train_y: NDArray[np.int64], x: NDArray[np.float32], y: NDArray[np.int64]
) -> float:
    """Of the judge that learned from the first and is asked of the second."""
    judge = LogisticRegression(C=1e-3, max_iter=300)
    return float(roc_auc_score(y, judge.fit(train_x, train_y).predict_proba(x)[:, 1]))


def site_alone(sites: list[SiteData]) -> float:
    """AUROC of a predictor that knows the site and nothing else: its share of AP in training."""
    scores, labels = [], []
    for site in sites:
        rate = float(site.part(Part.TRAIN).labels.float().mean())
        test = site.part(Part.TEST).labels.numpy()
        scores.append(np.full(len(test), rate))
        labels.append(test)
    return float(roc_auc_score(np.concatenate(labels), np.concatenate(scores)))


def grid(images: torch.Tensor, labels: torch.Tensor, path: Path) -> None:
    """A row of samples a class."""
    rows = [torch.cat(list(images[labels == k][:SHOWN, 0]), dim=1) for k in labels.unique()]
    pixels = ((torch.cat(rows) + 1) * 127.5).clamp(0, 255).byte().numpy()
    Image.fromarray(pixels).resize((pixels.shape[1] * 2, pixels.shape[0] * 2), Image.Resampling.NEAREST).save(
        path
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--grid", type=Path, help="PNG of samples at epsilon 3, mode distributed")
    parser.add_argument("--seeds", type=int, default=3, help="draws of noise a row")
    parser.add_argument("--prior", type=Path, help="a public prior; waves of no image where not given")
    parser.add_argument("--latent-size", type=int, default=16)
    arguments = parser.parse_args()
    latent = [f"model.latent.latent_size={arguments.latent_size}"]
    if arguments.prior is not None:
        made = read_prior(arguments.prior)
        latent.append(f"model.prior.sha256={made.sha256}")
        latent.append(f"model.prior.source='{made.card.made_of}; {made.card.source}'")
        print(f"prior: {made.card.made_of}; {made.card.source} ({made.card.licence})")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        sites = prepare_sites(
            asked("local", 3.0, 100, *latent), arguments.folder, place / "data", place / "cache"
        ).sites
        patients = sum(site.part(Part.TRAIN).n_patients for site in sites)
        x, y = images_of(sites, Part.TEST)
        real = auroc(*images_of(sites, Part.TRAIN), x, y)
        print(
            f"{patients} training patients, {len(y)} test images; real {real:.3f}, site alone {site_alone(sites):.3f}"
        )
        print(f"{'mode':<12} {'epsilon':>7} {'TSTR':>6} {'sd':>6}")
        rows = [
            ("none", 0.0),
            *((mode, epsilon) for mode in ("distributed", "local") for epsilon in EPSILONS),
        ]
        for mode, epsilon in rows:
            found = []
            for seed in range(1 if mode == "none" else arguments.seeds):
                study = asked(mode, epsilon or 3.0, patients, *latent)
                recipe, model = trained(study, sites, place / f"{mode}-{epsilon:g}-{seed}", arguments.prior)
                images, labels = sampled(recipe, model, IMAGES, seed)
                found.append(auroc(images.flatten(1).numpy(), labels.numpy(), x, y))
                if arguments.grid and (mode, epsilon, seed) == ("distributed", 3.0, 0):
                    grid(images, labels, arguments.grid)
            shown = f"{epsilon:g}" if epsilon else "-"
            print(f"{mode:<12} {shown:>7} {np.mean(found):>6.3f} {np.std(found):>6.3f}", flush=True)


if __name__ == "__main__":
    main()
