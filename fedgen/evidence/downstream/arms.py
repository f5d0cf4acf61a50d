"""The arms of the downstream comparison: what each classifier is trained on.

Esteban et al. 2017 (TSTR); the count-matched control with duplicated real images follows the finding
that duplicating real images can do as much as adding synthetic ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.pooled import PooledImages

#: arm -> title, in the order of the report
TITLES = {
    "TRTR": "Train on real, test on real",
    "TSTR": "Train on synthetic, test on real",
    "TRTR+S": "Train on real and synthetic, test on real; one network",
    "TRTR+R": "Control: train on real, duplicated to the size and class counts of real and synthetic; one network",
    "TRTR-shuffled": "Control: train on real with labels that say nothing, shuffled within classes. The linear judges "
    "learn from 19 shuffles: their mean must be chance, and their interval is what luck gives; the network from one",
    "TSTR-shuffled": "Control: train on synthetic with labels that say nothing, shuffled within classes. The linear "
    "judges learn from 19 shuffles: their mean must be chance, their interval is what luck gives; the network from one",
}
#: Arms without a real image: their classifiers are the same whoever tests them.
OF_THE_RELEASE = ("TSTR", "TSTR-shuffled")
#: Controls with shuffled labels -> the arm they stand beside.
SHUFFLED = {"TRTR-shuffled": "TRTR", "TSTR-shuffled": "TSTR"}
#: Shuffles that the linear judges, which are quick, learn from: what luck gives is seen in how far they are apart.
SHUFFLES = 19
#: Arms of one network, where the others have one a seed: they are held against each other, or against chance.
OF_ONE_NETWORK = ("TRTR+S", "TRTR+R", *SHUFFLED)
#: An arm whose networks are trained for as many steps as those of another, which has the same patients.
AS_LONG_AS = {**SHUFFLED, "TRTR+S": "TRTR", "TRTR+R": "TRTR"}
#: A control that looks at no image: the classes' shares at the site in training.
SITE_ALONE = "site-alone"
SITE_ALONE_TITLE = (
    "Control: no image, only its site: each class is as likely as it is in the site's training images; what an arm has "
    "no more of than this, it has of the site"
)
#: (arm, against): differences with intervals
COMPARISONS = (("TSTR", "TRTR"), ("TRTR+S", "TRTR+R"))
#: And where there are several sites to tell apart.
SITE_COMPARISONS = (("TRTR", SITE_ALONE), ("TSTR", SITE_ALONE))


@dataclass(frozen=True)
class TrainingSet:
    """What one classifier is trained on.

    Attributes:
        images: (n, C, *size) float32 in [-1, 1].
        labels: (n,) int64.
        patients: (n,) int64; a synthetic image is a patient of its own, a duplicate is of its original's.
        rows: (n,) int64, where each image stands among the real images followed by the synthetic ones.
    """

    images: Tensor
    labels: Tensor
    patients: Tensor
    rows: Tensor


def training_set(arm: str, real: PooledImages, synthetic: LabelledImages, *, seed: int) -> TrainingSet:
    """The training set of an arm, before labels are shuffled; `seed` draws what the controls draw.

    Raises:
        KeyError: no such arm.
    """
    real_rows = torch.arange(real.n_images)
    made = torch.arange(len(synthetic.labels)) + real.n_images
    builders = {
        "TRTR": lambda: real_rows,
        "TSTR": lambda: made,
        "TRTR+S": lambda: torch.cat([real_rows, made]),
        "TRTR+R": lambda: torch.cat([real_rows, _duplicated(real, synthetic.labels, seed)]),
        "TRTR-shuffled": lambda: real_rows,
        "TSTR-shuffled": lambda: made,
    }
    rows = builders[arm]()
    # Real ones come first in every arm.
    own, others = rows[rows < real.n_images], rows[rows >= real.n_images] - real.n_images
    parts = [_taken(real.images, own), _taken(synthetic.images, others)]
    images = torch.cat(parts) if len(own) and len(others) else parts[len(own) == 0]
    labels = torch.cat([real.labels, synthetic.labels])[rows]
    first = int(real.patients.max()) + 1 if real.n_images else 0
    patients = torch.cat([real.patients, torch.arange(len(synthetic.labels)) + first])[rows]
    return TrainingSet(images, labels, patients, rows)


def taught(
    arm: str, real: PooledImages, synthetic: LabelledImages, *, networks: int, seed: int
) -> list[TrainingSet]:
    """The training sets of an arm: the same for each network, or each with its own shuffle of the labels.

    Raises:
        KeyError: no such arm.
    """
    data = training_set(arm, real, synthetic, seed=seed)
    if arm not in SHUFFLED:
        return [data] * networks
    return [
        replace(data, labels=shuffled_within_classes(data.labels, seed=seed + s)) for s in range(SHUFFLES)
    ]


def _taken(images: Tensor, rows: Tensor) -> Tensor:
    """Images at these rows; without a copy where they are all of them."""
    return images if torch.equal(rows, torch.arange(len(images))) else images[rows]


def _duplicated(real: PooledImages, wanted: Tensor, seed: int) -> Tensor:
    """For every synthetic image the position of one real image of its class, drawn with replacement."""
    rng = torch.Generator().manual_seed(seed)
    drawn = []
    for c, count in zip(*wanted.unique(return_counts=True), strict=True):
        own = (real.labels == c).nonzero().flatten()
        if len(own):
            drawn.append(own[torch.randint(len(own), (int(count),), generator=rng)])
    return torch.cat(drawn) if drawn else torch.empty(0, dtype=torch.int64)


def shuffled_within_classes(labels: Tensor, *, seed: int) -> Tensor:
    """Labels that say nothing of the true ones: every true class gets the same share of every label.

    A plain permutation of few labels keeps a chance correlation with the true ones, which a classifier
    learns at once where classes are easy to tell apart; this one is balanced, so the control stays at chance.
    """
    rng = torch.Generator().manual_seed(seed)
    result = torch.empty_like(labels)
    classes = labels.unique()
    for shift, c in enumerate(classes):
        own = (labels == c).nonzero().flatten()
        order = own[torch.randperm(len(own), generator=rng)]
        # The shift spreads what does not divide evenly over different labels.
        result[order] = classes[(torch.arange(len(own)) + shift) % len(classes)]
    return result
