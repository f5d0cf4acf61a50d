"""Ways to read one private sum of public features, compared: which public image shows which class?

    python simulations/candidates/compare.py phantoms
    python simulations/candidates/compare.py pneumonia --pneumonia pneumoniamnist.npz
    python simulations/candidates/compare.py chest_xray --pneumonia pneumoniamnist.npz --data FOLDER

Private: phantoms of study seeds 2 and 3 as the preset `demo` makes them (seed 1, the demo's own, is looked at by none
of this), 208 images of PneumoniaMNIST, or the training films of the study `chest_xray` (FOLDER is the one that it
takes) with the labels view and finding. Public and unlabelled: 400 phantoms of `model.prior.phantom`, or images of the
other half of PneumoniaMNIST. All sums are made in one place with the noise that four sites make of them together in
mode `distributed`. The judges are the product's: on phantoms its network, else its logistic regression on pixels.
`label` is how well the reading's p(class) orders the public images by their true class, where that is known.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import interpolate

from fedgen.data.phantom.public import public_phantoms
from fedgen.data.prepare import prepare_sites
from fedgen.data.site_data import Part
from fedgen.evidence.downstream.judged import predicted
from fedgen.evidence.downstream.linear import LINEAR
from fedgen.families.candidates.choice import drawn, surest
from fedgen.families.candidates.family import CandidatesFamily
from fedgen.families.candidates.network import Candidates
from fedgen.families.candidates.options import CandidatesOptions
from fedgen.families.contract import statistics_of
from fedgen.priors.fit import fit
from fedgen.recipe import Recipe
from fedgen.study.data import Intensity
from fedgen.study.load import load_study
from fedgen.study.model import PhantomPrior
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.task import image_of_class

FloatArray = NDArray[np.float64]

#: Synthetic images of a release, of both classes; sites that share the noise; most steps of the network.
IMAGES, SITES, STEPS = 200, 4, 1000
#: Public images, and components that are fitted to them.
CANDIDATES, COMPONENTS = 1000, 32
OPTIONS: Mapping[str, CandidatesOptions] = {
    "discriminant": CandidatesOptions(),
    "drawn by p": CandidatesOptions(confident=1.0),
    "own covariance": CandidatesOptions(moment_weight=0.65),
    "few components": CandidatesOptions(latent_size=1),
}
CLUSTERS = (16, 32)


@dataclass(frozen=True)
class Cohort:
    """Images with labels and patients."""

    images: Tensor
    labels: Tensor
    patients: Tensor


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        train, test: private.
        public: candidates.
        truth: their classes, if anybody knows.
        network: whether the network judges.
    """

    name: str
    train: Cohort
    test: Cohort
    public: Tensor
    truth: Tensor | None
    network: bool


def noise_of(epsilon: float) -> float:
    """Standard deviation in each number of a sum of vectors of norm 1, of all sites' noise together."""
    study = load_study(
        "demo",
        [
            "model.family=latent",
            "privacy.mode=distributed",
            f"privacy.epsilon={epsilon}",
            "privacy.sampling_rate=0.08",
            "training.batch_patients=16",
            "aggregation.tolerated_dropouts=0",
        ],
    )
    mechanism = Recipe.of(study).mechanism
    share = mechanism.share(mechanism.turns.turn(1), SITES)  # type: ignore[attr-defined]
    return float(share.std / share.scale * SITES**0.5)


def records_of(cohort: Cohort, most: int = 8) -> Records:
    """A record a patient, of her first images."""
    owners = cohort.patients.unique()
    shape = (len(owners), most)
    images = torch.zeros(*shape, *cohort.images.shape[1:])
    labels, weights = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape)
    for row, owner in enumerate(owners):
        own = (cohort.patients == owner).nonzero().flatten()[:most]
        images[row, : len(own)], labels[row, : len(own)] = cohort.images[own], cohort.labels[own]
        weights[row, : len(own)] = 1 / len(own)
    return Records({"image": images, "class": labels}, {"patient": weights})


def discriminant(case: Case, options: CandidatesOptions) -> Callable[[float, int], tuple[FloatArray, Tensor]]:
    """The family: from noise and a seed to p(class 1) of each candidate, and those of each class to be drawn."""
    spec = ImageSpec(channels=1, size=tuple(case.public.shape[2:]))
    prior, _ = fit(case.public.numpy(), COMPONENTS, len(case.public))
    family = CandidatesFamily(image_of_class(spec, ("0", "1")), options).on(prior)
    (statistic,), order = statistics_of(family), prior.donors
    records = records_of(case.train)
    total = statistic.vectors(family.networks(), records, {}).double().sum(dim=0)
    n = len(records.weights["patient"])

    def read(noise: float, seed: int) -> tuple[FloatArray, Tensor]:
        rng = torch.Generator().manual_seed(seed)
        noisy = total + noise * torch.randn(len(total), generator=rng, dtype=torch.float64)
        networks = family.networks()
        statistic.advance(networks, noisy[None] / n, noise / n)
        network = networks["candidates"]
        assert isinstance(network, Candidates) and torch.equal(order, network.images)
        p = network.probabilities()
        half = IMAGES // 2
        chosen = [drawn(surest(p[:, k], options.confident, half), half, rng) for k in (0, 1)]
        return p[:, 1].numpy(), torch.cat(chosen)

    return read


def votes(case: Case, clusters: int) -> Callable[[float, int], tuple[FloatArray, Tensor]]:
    """A histogram of mass 1 a patient over public clusters and classes, which has norm 1 at most too.

    Candidates of a class are drawn by the votes of their cluster.
    """
    spec = ImageSpec(channels=1, size=tuple(case.public.shape[2:]))
    prior, _ = fit(case.public.numpy(), COMPONENTS, len(case.public))
    family = CandidatesFamily(image_of_class(spec, ("0", "1")), CandidatesOptions()).on(prior)
    network = family.networks()["candidates"]
    assert isinstance(network, Candidates)
    means = KMeans(clusters, n_init=3, random_state=0).fit(network.points.numpy())
    of_public = torch.from_numpy(means.labels_).long()
    records = records_of(case.train)
    images, weights = records.fields["image"], records.weights["patient"]
    points = family.layout.clipped(network(images.flatten(0, 1)))
    cell = torch.from_numpy(means.predict(points.numpy())).long() * 2 + records.fields["class"].flatten()
    total = torch.zeros(2 * clusters, dtype=torch.float64).index_add_(0, cell, weights.flatten().double())

    def read(noise: float, seed: int) -> tuple[FloatArray, Tensor]:
        rng = torch.Generator().manual_seed(seed)
        noisy = total + noise * torch.randn(len(total), generator=rng, dtype=torch.float64)
        counts = noisy.clamp_min(0).reshape(clusters, 2) + 1e-3
        each = (counts / of_public.bincount(minlength=clusters).clamp_min(1)[:, None])[of_public]
        chosen = [torch.multinomial(each[:, k], IMAGES // 2, generator=rng) for k in (0, 1)]
        return (counts[:, 1] / counts.sum(dim=1))[of_public].numpy(), torch.cat(chosen)

    return read


def auroc(case: Case, lesson: Cohort, seed: int) -> float:
    """Of the judge that learned from the lesson, on the test images."""
    if case.network:
        (found,) = predicted(
            lesson.images,
            lesson.labels,
            case.test.images,
            2,
            patients=lesson.patients,
            judges=("network",),
            steps=STEPS,
            seeds=1,
            seed=seed,
        )["network"]
    else:
        judge = LINEAR["pixel"]
        train, test = (judge.features(each).copy() for each in (lesson.images, case.test.images))
        found = judge(train, lesson.labels.numpy(), test, 2)
    return float(roc_auc_score(case.test.labels.numpy(), found[:, 1]))


def compare(case: Case, seeds: int) -> None:
    """Print one case's table."""
    print(
        f"{case.name}: {len(case.train.patients.unique())} training patients, {len(case.public)} candidates"
    )
    print(f"  real {auroc(case, case.train, 0):.3f}")
    labels = torch.arange(2).repeat_interleave(IMAGES // 2)
    readings = {name: discriminant(case, options) for name, options in OPTIONS.items()}
    readings |= {f"votes, {k} clusters": votes(case, k) for k in CLUSTERS}
    for name, read in readings.items():
        cells = []
        for epsilon in (3.0, 1.0):
            noise, scores, known = noise_of(epsilon), [], []
            for seed in range(seeds):
                p, chosen = read(noise, seed)
                lesson = Cohort(case.public[chosen], labels, torch.arange(IMAGES))
                scores.append(auroc(case, lesson, seed))
                if case.truth is not None:
                    known.append(roc_auc_score(case.truth.numpy(), p))
            label = f"label {np.mean(known):.3f} +- {np.std(known):.3f}, " if known else ""
            cells.append(f"epsilon {epsilon:g}: {label}TSTR {np.mean(scores):.3f} +- {np.std(scores):.3f}")
        print(f"  {name:<20} {'; '.join(cells)}", flush=True)


def prepared(name: str, changes: list[str], folder: Path | None, part: Part) -> Cohort:
    """One part of all sites of a study."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        sites = [
            site.part(part)
            for site in prepare_sites(
                load_study(name, changes), folder, place / "data", place / "cache"
            ).sites
        ]
    owners = [site.patients + 10**6 * number for number, site in enumerate(sites)]
    return Cohort(
        torch.cat([site.images.float() for site in sites]),
        torch.cat([site.labels for site in sites]),
        torch.cat(owners),
    )


def halves(file: Path, size: int) -> tuple[Cohort, Cohort, Cohort]:
    """Private and public training images of PneumoniaMNIST, and its test images, at this size."""
    rng = np.random.default_rng(0)
    with np.load(file) as stored:
        order = rng.permutation(len(stored["train_images"]))
        found = []
        for part, chosen in (("train", order[::2]), ("train", order[1::2]), ("test", slice(None))):
            images = torch.from_numpy(stored[f"{part}_images"][chosen]).float()[:, None] / 127.5 - 1
            if size != images.shape[-1]:
                images = interpolate(images, (size, size), mode="bilinear", align_corners=False)
            labels = torch.from_numpy(stored[f"{part}_labels"][chosen].ravel()).long()
            found.append(Cohort(images, labels, torch.arange(len(labels))))
    private, public, test = found
    return private, public, test


def cases(arguments: argparse.Namespace) -> Iterator[Case]:
    """What is asked for."""
    if arguments.case == "phantoms":
        images = torch.from_numpy(public_phantoms(PhantomPrior(), "T1w", (32, 32), Intensity()))
        for seed in (2, 3):
            train, test = (
                prepared("demo", [f"study.seed={seed}"], None, part) for part in (Part.TRAIN, Part.TEST)
            )
            truth = torch.arange(len(images)) % 2
            yield Case(f"phantoms of seed {seed}", train, test, images, truth, network=True)
    if arguments.case == "pneumonia":
        private, public, test = halves(arguments.pneumonia, 28)
        few = Cohort(private.images[:208], private.labels[:208], private.patients[:208])
        chosen = Cohort(*(each[:CANDIDATES] for each in (public.images, public.labels, public.patients)))
        yield Case("PneumoniaMNIST", few, test, chosen.images, chosen.labels, network=False)
    if arguments.case == "chest_xray":
        _, public, _ = halves(arguments.pneumonia, 64)
        view = ["data.columns.label=view", "data.labels=[PA, AP]", "data.other_labels=exclude"]
        for name, changes in (("view", [*view, "data.one_class_sites=allow"]), ("finding", [])):
            train, test = (
                prepared("chest_xray", changes, arguments.data, part) for part in (Part.TRAIN, Part.TEST)
            )
            images = public.images[:CANDIDATES]
            yield Case(f"chest X-rays, {name}", train, test, images, None, network=False)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=("phantoms", "pneumonia", "chest_xray"))
    parser.add_argument("--data", type=Path, help="of the study chest_xray")
    parser.add_argument("--pneumonia", type=Path, help="pneumoniamnist.npz of MedMNIST")
    parser.add_argument("--seeds", type=int, default=4, help="draws of noise")
    arguments = parser.parse_args()
    for case in cases(arguments):
        compare(case, arguments.seeds)


if __name__ == "__main__":
    main()
