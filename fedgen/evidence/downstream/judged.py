"""The judges, for a script with its own arrays: train on these images, say what you think of those.

    found = predicted(images, labels, test_images, classes=2, patients=patients)
    {name: auroc(test_labels, np.mean(each, axis=0)) for name, each in found.items()}

What they mean is in the reference of the run directory; `judged` is the AUROC of each, as in a report's table, and
`within_sites` and `site_alone` are what a score has to be held against where there are several sites.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgen.evidence.downstream.arms import TrainingSet
from fedgen.evidence.downstream.linear import LINEAR
from fedgen.evidence.downstream.network import Lesson, learn
from fedgen.evidence.downstream.scores import auroc, weighted_auroc_within
from fedgen.evidence.downstream.site_alone import site_alone

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

__all__ = ["JUDGES", "auroc", "judged", "predicted", "site_alone", "within_sites"]

NETWORK = "network"
#: All of them; the linear ones take seconds.
JUDGES = (NETWORK, *LINEAR)


def predicted(
    images: Tensor,
    labels: Tensor,
    test: Tensor,
    classes: int,
    *,
    patients: Tensor | None = None,
    judges: Sequence[str] = JUDGES,
    steps: int = 200,
    seeds: int = 3,
    seed: int = 0,
) -> dict[str, list[FloatArray]]:
    """Class probabilities (n_test, K) by judge, one array a seed; a linear judge has one.

    Args:
        images: (n, C, H, W) float32 in [-1, 1], real or synthetic.
        labels: (n,) int64; every class has an image at least.
        test: (n_test, C, H, W).
        classes: K.
        patients: (n,) int64 of the images, so that no patient is on both sides of the network's inner validation; None
            where each image is one of its own, as synthetic ones are.
        judges: names of `JUDGES`.
        steps, seeds: of the network, as in the study's section `evaluation`.
        seed: of the first.

    Raises:
        KeyError: no such judge.
    """
    rows = torch.arange(len(labels))
    data = TrainingSet(images.float(), labels, rows if patients is None else patients, rows)
    found = {}
    for name in judges:
        if name == NETWORK:
            lesson = Lesson((data,) * seeds)
            (found[name],) = learn([lesson], test.float(), classes, most=steps, seed=seed)
        else:
            judge = LINEAR[name]
            found[name] = [judge(judge.features(images), labels.numpy(), judge.features(test), classes)]
    return found


def judged(
    images: Tensor,
    labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    *,
    patients: Tensor | None = None,
    judges: Sequence[str] = JUDGES,
    steps: int = 200,
    seeds: int = 3,
    seed: int = 0,
) -> dict[str, float]:
    """AUROC by judge, of the mean of its classifiers' probabilities; arguments as of `predicted`.

    Raises:
        KeyError: no such judge.
    """
    classes = int(torch.cat([labels, test_labels]).max()) + 1
    found = predicted(
        images,
        labels,
        test,
        classes,
        patients=patients,
        judges=judges,
        steps=steps,
        seeds=seeds,
        seed=seed,
    )
    truth = test_labels.numpy()
    return {name: auroc(truth, np.mean(seen, axis=0)) for name, seen in found.items()}


def within_sites(labels: Tensor, probabilities: Sequence[FloatArray], sites: Tensor) -> float:
    """AUROC over the pairs of images within a site, of the mean probabilities; NaN where no site has two classes.

    Args:
        labels: (n,) of the test images.
        probabilities: (n, K) a seed, what `predicted` gives for a judge.
        sites: (n,) int64.
    """
    ones = np.ones((1, len(labels)))
    truth, strata = labels.numpy(), sites.numpy()
    return float(weighted_auroc_within(truth, np.mean(probabilities, axis=0), ones, strata)[0])
