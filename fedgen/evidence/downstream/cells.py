"""One cell of the downstream table: an arm's scores on the test patients of one site, or of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.evidence.downstream.bootstrap import percentile_interval, replicate_weights
from fedgen.evidence.downstream.scores import (
    WeightedScore,
    weighted_auroc,
    weighted_auroc_within,
    weighted_balanced_accuracy,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: fewer test patients of a class than this leave a score undefined
MINIMUM_PATIENTS = 3
#: weights scored at once, of some replicates of all images, to bound memory
CHUNK = 1 << 17
#: Name of a score -> its metric and its judge.
METRICS = {
    "auroc": ("auroc", "network"),
    "balanced_accuracy": ("balanced_accuracy", "network"),
    "within": ("within", "network"),
    "simple": ("auroc", "simple"),
    "simple_within": ("within", "simple"),
    "texture": ("auroc", "texture"),
    "texture_within": ("within", "texture"),
}
#: And what it is called in a row.
SAID = {
    "auroc": "AUROC",
    "balanced_accuracy": "balanced accuracy",
    "within": "AUROC within sites",
    "simple": "AUROC, simple judge",
    "simple_within": "AUROC within sites, simple judge",
    "texture": "AUROC, texture judge",
    "texture_within": "AUROC within sites, texture judge",
}
_WEIGHTED: dict[str, WeightedScore] = {
    "auroc": weighted_auroc,
    "balanced_accuracy": weighted_balanced_accuracy,
}


@dataclass(frozen=True)
class Score:
    """A value, its interval over patients (95 %), and the standard deviation over seeds."""

    value: float
    low: float
    high: float
    std_seeds: float | None


@dataclass(frozen=True)
class Replicated:
    """A score on the data and on each of R replicates of its patients.

    Attributes:
        value: on the data.
        replicates: (R,).
        std_seeds: standard deviation of what single seeds score; None for a single seed.
    """

    value: float
    replicates: FloatArray
    std_seeds: float | None

    def score(self) -> Score:
        """Value with percentile interval."""
        return Score(self.value, *percentile_interval(self.replicates), self.std_seeds)


@dataclass(frozen=True)
class TestImages:
    """Test images of one site or of all, with the replicates of their patients, drawn once for all arms.

    Attributes:
        index: (n,) positions among all test images.
        labels: (n,) class index.
        sites: (n,) site of each.
        n_patients: number of patients.
        weights: (R, n) replicate weights; empty where undefined.
        undefined: why no score can be given, or None.
        note: what a reader must know, or None.
    """

    index: IntArray
    labels: IntArray
    sites: IntArray
    n_patients: int
    weights: FloatArray
    undefined: str | None
    note: str | None

    def has(self, metric: str) -> bool:
        """Whether a metric is defined: within sites only where one of several has two classes with some patients."""
        if metric != "within":
            return True
        mixed = [s for s in np.unique(self.sites) if len(np.unique(self.labels[self.sites == s])) > 1]
        return len(np.unique(self.sites)) > 1 and bool(mixed)


def describe(
    index: IntArray,
    labels: IntArray,
    patients: IntArray,
    sites: IntArray,
    classes: Sequence[str],
    *,
    replicates: int,
    seed: int,
) -> TestImages:
    """Describe the test images at `index` of (n,) labels, patients and sites of all test images."""
    labels, patients = labels[index], patients[index]
    undefined = why_undefined(labels, patients, classes)
    missing = [name for c, name in enumerate(classes) if c not in labels]
    note = f"Mean over the classes present; no test image is of {', '.join(missing)}." if missing else None
    weights = (
        np.empty((0, len(index))) if undefined else replicate_weights(patients, labels, replicates, seed=seed)
    )
    return TestImages(
        index, labels, sites[index], len(np.unique(patients)), weights, undefined, None if undefined else note
    )


def why_undefined(labels: IntArray, patients: IntArray, classes: Sequence[str]) -> str | None:
    """The reason why these test images give no score, as a sentence; None where they do."""
    if len(labels) == 0:
        return "There is no test patient."
    patients_of = {c: len(np.unique(patients[labels == c])) for c in np.unique(labels).tolist()}
    if len(patients_of) == 1:
        return f"All test images are of one class, {classes[next(iter(patients_of))]}."
    few = [f"{classes[c]} ({count})" for c, count in patients_of.items() if count < MINIMUM_PATIENTS]
    if few:
        return f"Fewer than {MINIMUM_PATIENTS} test patients of a class: {', '.join(few)}."
    return None


def replicate_score(metric: str, test: TestImages, probabilities: Sequence[FloatArray]) -> Replicated:
    """A metric of one arm: of the mean of its classifiers' probabilities, which is one judge.

    Args:
        metric: auroc, balanced_accuracy or within.
        test: a test set whose scores are defined.
        probabilities: for each seed (n_all, K) over all test images.
    """
    own = [p[test.index] for p in probabilities]
    mean = np.mean(own, axis=0)
    blocks = np.array_split(test.weights, max(1, test.weights.size // CHUNK))
    replicates = np.concatenate([_weighted(metric, test, mean, w) for w in blocks])
    return Replicated(_point(metric, test, mean), replicates, _spread([_point(metric, test, p) for p in own]))


def mean_score(metric: str, test: TestImages, probabilities: Sequence[FloatArray]) -> Replicated:
    """The mean of a metric over classifiers that are no one judge, such as those of several shuffles of the labels.

    Each has its share of the replicates, so the interval is that of a single one of them, over patients and shuffles.
    """
    own = [p[test.index] for p in probabilities]
    values = [_point(metric, test, p) for p in own]
    blocks = np.array_split(test.weights, len(own))
    replicates = [_weighted(metric, test, p, w) for p, w in zip(own, blocks, strict=True)]
    return Replicated(float(np.mean(values)), np.concatenate(replicates), _spread(values))


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _point(metric: str, test: TestImages, probabilities: FloatArray) -> float:
    return float(_weighted(metric, test, probabilities, np.ones((1, len(test.index))))[0])


def _weighted(metric: str, test: TestImages, probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    if metric == "within":
        return weighted_auroc_within(test.labels, probabilities, weights, test.sites)
    return _WEIGHTED[metric](test.labels, probabilities, weights)
