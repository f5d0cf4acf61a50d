"""The arms of the downstream comparison: what each classifier is trained on.

Esteban et al. 2017 (TSTR); the count-matched control with duplicated real images follows the finding
that duplicating real images can do as much as adding synthetic ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.pooled import PooledImages

#: arm -> title, in the order of the report
TITLES = {
    "TRTR": "Train on real, test on real",
    "TSTR": "Train on synthetic, test on real",
    "TRTR+S": "Train on real and synthetic, test on real",
    "TRTR+R": "Control: train on real, duplicated to the size and class counts of real and synthetic",
    "TSTR-shuffled": "Control: train on synthetic with shuffled labels, which must be chance",
}
#: Arms without a real image: their classifiers are the same whoever tests them.
OF_THE_RELEASE = ("TSTR", "TSTR-shuffled")
#: (arm, against): differences with intervals
COMPARISONS = (("TSTR", "TRTR"), ("TRTR+S", "TRTR"), ("TRTR+S", "TRTR+R"))


@dataclass(frozen=True)
class TrainingSet:
    """What one classifier is trained on: (n, C, *size) float32 images and (n,) int64 labels."""

    images: Tensor
    labels: Tensor


def training_set(arm: str, real: PooledImages, synthetic: LabelledImages, *, seed: int) -> TrainingSet:
    """The training set of an arm; `seed` draws what the controls draw.

    Raises:
        KeyError: no such arm.
    """
    builders = {
        "TRTR": lambda: TrainingSet(real.images, real.labels),
        "TSTR": lambda: TrainingSet(synthetic.images, synthetic.labels),
        "TRTR+S": lambda: _joined(real, synthetic.images, synthetic.labels),
        "TRTR+R": lambda: _duplicated(real, synthetic.labels, seed),
        "TSTR-shuffled": lambda: TrainingSet(
            synthetic.images, shuffled_within_classes(synthetic.labels, seed=seed)
        ),
    }
    return builders[arm]()


def _joined(real: PooledImages, images: Tensor, labels: Tensor) -> TrainingSet:
    return TrainingSet(torch.cat([real.images, images]), torch.cat([real.labels, labels]))


def _duplicated(real: PooledImages, wanted: Tensor, seed: int) -> TrainingSet:
    """Real images, and for every synthetic image one real image of its class drawn with replacement."""
    rng = torch.Generator().manual_seed(seed)
    drawn = []
    for c, count in zip(*wanted.unique(return_counts=True), strict=True):
        own = (real.labels == c).nonzero().flatten()
        if len(own):
            drawn.append(own[torch.randint(len(own), (int(count),), generator=rng)])
    chosen = torch.cat(drawn) if drawn else torch.empty(0, dtype=torch.int64)
    return _joined(real, real.images[chosen], real.labels[chosen])


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
