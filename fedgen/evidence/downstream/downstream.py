"""Downstream use: does a classifier trained on synthetic images work on real patients?

Every arm trains the same network with the same seeds, steps, augmentation and class-balanced batches,
and is tested on the TEST part alone, which no generator and no choice has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.downstream.arms import COMPARISONS, OF_THE_RELEASE, TITLES, TrainingSet, training_set
from fedgen.evidence.downstream.bootstrap import percentile_interval
from fedgen.evidence.downstream.cells import METRICS, Replicated, Score, TestImages, describe, replicate_score
from fedgen.evidence.downstream.classifier import probabilities, train_classifier, trained_once
from fedgen.evidence.pooled import PooledImages

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CellScores:
    """Scores by metric, None where undefined, with the reason in the note."""

    scores: dict[str, Score | None]
    note: str | None


@dataclass(frozen=True)
class Arm:
    """Results of one arm; `per_site` in the order of the sites."""

    arm: str
    n_train: int
    pooled: CellScores
    per_site: tuple[CellScores, ...]


@dataclass(frozen=True)
class Difference:
    """Paired difference of two arms on the pooled test patients: same patients in every replicate."""

    arm: str
    against: str
    metric: str
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Downstream:
    """All arms, their differences, and the number of test patients of each site."""

    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]
    test_patients: tuple[int, ...]


def measure_downstream(
    train: PooledImages,
    test: PooledImages,
    synthetic: LabelledImages,
    classes: Sequence[str],
    *,
    n_sites: int,
    steps: int,
    seeds: int,
    bootstrap: int,
    seed: int,
) -> Downstream:
    """Train and test every arm.

    Args:
        train, test: TRAIN and TEST part of all sites.
        synthetic: the synthetic set.
        classes: class names.
        n_sites: number of sites, with or without test patients.
        steps, seeds, bootstrap: section `evaluation` of the study.
        seed: classifier seeds are seed, seed + 1, ...
    """
    labels, patients, owners = test.labels.numpy(), test.patients.numpy(), test.sites.numpy()
    pooled, *per_site = [
        describe(index, labels, patients, classes, replicates=bootstrap, seed=seed)
        for index in (np.arange(len(labels)), *(np.flatnonzero(owners == s) for s in range(n_sites)))
    ]
    arms: list[Arm] = []
    replicated: dict[tuple[str, str], Replicated] = {}
    for arm in TITLES:
        sets = [training_set(arm, train, synthetic, seed=seed + s) for s in range(seeds)]
        untrainable = why_untrainable(sets[0], classes)
        predicted: list[FloatArray] = []
        if untrainable is None and not all(images.undefined for images in (pooled, *per_site)):
            trained = trained_once if arm in OF_THE_RELEASE else train_classifier
            for s, data in enumerate(sets):
                net = trained(data.images, data.labels, len(classes), steps=steps, seed=seed + s)
                predicted.append(probabilities(net, test.images).numpy())
        cells = []
        for images in (pooled, *per_site):
            scores = _replicated(images, predicted)
            cells.append(_cell(scores, untrainable or images.undefined or images.note))
            if images is pooled:
                replicated |= {(arm, metric): score for metric, score in scores.items()}
        arms.append(Arm(arm, len(sets[0].labels), cells[0], tuple(cells[1:])))
    differences = tuple(
        _difference(arm, against, metric, replicated) for arm, against in COMPARISONS for metric in METRICS
    )
    return Downstream(tuple(arms), differences, tuple(images.n_patients for images in per_site))


def why_untrainable(data: TrainingSet, classes: Sequence[str]) -> str | None:
    """The reason why no classifier can be trained on a set, as a sentence; None where it can."""
    if len(classes) < 2:
        return f"The study has one class, {classes[0]}: there is nothing to classify."
    missing = [name for c, name in enumerate(classes) if c not in data.labels]
    return f"The training set has no image of {', '.join(missing)}." if missing else None


def _replicated(images: TestImages, predicted: Sequence[FloatArray]) -> dict[str, Replicated]:
    if images.undefined or not predicted:
        return {}
    return {metric: replicate_score(metric, images, predicted) for metric in METRICS}


def _cell(scores: dict[str, Replicated], note: str | None) -> CellScores:
    table = {metric: scores[metric].score() if metric in scores else None for metric in METRICS}
    certain = [metric for metric, score in table.items() if score is not None and score.low == score.high]
    if certain:
        width = f"Every replicate gives the same {' and '.join(certain)}: its interval says nothing."
        note = f"{note} {width}" if note else width
    return CellScores(table, note)


def _difference(
    arm: str, against: str, metric: str, replicated: dict[tuple[str, str], Replicated]
) -> Difference:
    x, y = replicated.get((arm, metric)), replicated.get((against, metric))
    if x is None or y is None:
        return Difference(arm, against, metric, None, None, None)
    return Difference(
        arm, against, metric, x.value - y.value, *percentile_interval(x.replicates - y.replicates)
    )
