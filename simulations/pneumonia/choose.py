"""What the family `latent` asks of a patient, and of which images its prior is made: chosen on public images alone.

    python simulations/pneumonia/choose.py pneumoniamnist.npz [--draws 3] [--seeds 2]

1000 training images of PneumoniaMNIST are the public prior's; 92 others play the patients of four hospitals, one image
each, in one trusted place; the 624 test images are judged. Patients are either like the public images, or in frames,
proportions and contrasts of their own, as the films of other hospitals are. AUROC of a judge that learned from 300
synthetic images alone; mean over draws of patients and of noise, with its standard deviation.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from fedgen.evidence.downstream.judged import auroc, predicted
from fedgen.families.latent.family import LatentFamily
from fedgen.families.latent.options import LatentOptions
from fedgen.priors.fit import fit
from fedgen.priors.prior import Prior
from fedgen.priors.vary import varied
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import one_image_each
from fedgen.task.task import image_of_class
from fedgen_privacy.accounting import calibrate_noise

SIZE, PUBLIC, PATIENTS, IMAGES, DELTA = 64, 1000, 92, 300, 1e-3
JUDGES = ("pixel", "texture")
EPSILONS = (3.0, 1.0)
Images = NDArray[np.float32]


def enlarged(images: NDArray[np.uint8]) -> Images:
    """(n, 1, 64, 64) in [-1, 1] of (n, 28, 28)."""
    small = torch.from_numpy(images).float()[:, None] / 127.5 - 1
    return np.asarray(interpolate(small, (SIZE, SIZE), mode="bilinear").numpy(), np.float32)


def synthetic(
    prior: Prior, options: LatentOptions, images: Images, labels: torch.Tensor, epsilon: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels from one private sum over patients of one image each."""
    task = image_of_class(ImageSpec(channels=1, size=(SIZE, SIZE)), ("normal", "pneumonia"))
    family = LatentFamily(task, options).on(prior)
    (statistic,) = family.contributions()
    networks = family.networks()
    records = one_image_each({"image": torch.from_numpy(images), "class": labels})
    sigma = calibrate_noise(epsilon=epsilon, delta=DELTA, sampling_rate=1.0, steps=1, discrete=True)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        vectors = statistic.vectors(networks, records, {})
    noised = vectors.sum(dim=0) + sigma * torch.randn(statistic.length, generator=rng)
    networks = statistic.advance(networks, noised[None] / len(images), sigma / len(images))
    classes = torch.arange(IMAGES) % 2
    return family.sample(networks, {"class": classes}, IMAGES, rng), classes


def scores(
    images: torch.Tensor, labels: torch.Tensor, test: Images, truth: NDArray[np.int64]
) -> tuple[float, ...]:
    """AUROC of each judge."""
    found = predicted(images, labels, torch.from_numpy(test), 2, judges=JUDGES)
    return tuple(auroc(truth, found[judge][0]) for judge in JUDGES)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive", type=Path)
    parser.add_argument("--draws", type=int, default=3, help="of patients")
    parser.add_argument("--seeds", type=int, default=2, help="of noise, for each draw")
    arguments = parser.parse_args()
    with np.load(arguments.archive, allow_pickle=False) as arrays:
        train, labels = enlarged(arrays["train_images"]), arrays["train_labels"].ravel().astype(np.int64)
        test, truth = enlarged(arrays["test_images"]), arrays["test_labels"].ravel().astype(np.int64)
    public = train[:PUBLIC]
    priors = {
        "as they are": fit(public, 64, 400)[0],
        "3 variants each": fit(varied(public, 3), 64, 400)[0],
    }
    rng = np.random.default_rng(0)
    draws = [
        PUBLIC + rng.choice(len(train) - PUBLIC, PATIENTS, replace=False) for _ in range(arguments.draws)
    ]
    places = {
        "alike": (lambda images: images, test),
        "other frames": (lambda images: varied(images, 1, seed=9), varied(test, 1, seed=10)),
    }
    print("| patients | prior of | d | a3 | epsilon | pixel | texture |\n|---|---|---|---|---|---|---|")
    for place, (seen, tested) in places.items():
        patients = [(seen(train[draw]), torch.from_numpy(labels[draw])) for draw in draws]
        real = np.array([scores(torch.from_numpy(x), y, tested, truth) for x, y in patients])
        print(f"| {place} | | | | real | {_mean(real[:, 0])} | {_mean(real[:, 1])} |", flush=True)
        for name, d, weight, epsilon in product(priors, (16, 32), (0.65, 0.0), EPSILONS):
            options = LatentOptions(latent_size=d, moment_weight=weight)
            found = np.array(
                [
                    scores(*synthetic(priors[name], options, x, y, epsilon, seed), tested, truth)
                    for x, y in patients
                    for seed in range(arguments.seeds)
                ]
            )
            told = f"| {place} | {name} | {d} | {weight:g} | {epsilon:g} "
            print(f"{told}| {_mean(found[:, 0])} | {_mean(found[:, 1])} |", flush=True)


def _mean(values: NDArray[np.float64]) -> str:
    return f"{values.mean():.2f} ± {values.std():.2f}"


if __name__ == "__main__":
    main()
