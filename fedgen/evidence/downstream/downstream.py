"""Downstream use: does a classifier trained on synthetic images work on real patients?

Every judge learns from every arm by the same rule, with the same seeds and class-balanced, and is tested
on the TEST part alone, which no generator and no choice has seen. Where there are several sites, a predictor
that knows an image's site alone stands beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.downstream.arms import (
    AS_LONG_AS,
    COMPARISONS,
    OF_ONE_NETWORK,
    OF_THE_RELEASE,
    SHUFFLED,
    SITE_ALONE,
    SITE_COMPARISONS,
    TITLES,
    TrainingSet,
    taught,
)
from fedgen.evidence.downstream.bootstrap import percentile_interval
from fedgen.evidence.downstream.cells import (
    METRICS,
    SAID,
    Replicated,
    Score,
    TestImages,
    describe,
    mean_score,
    replicate_score,
)
from fedgen.evidence.downstream.judges import IN_ROWS, linear_judges
from fedgen.evidence.downstream.network import Learning, Lesson
from fedgen.evidence.downstream.site_alone import site_alone
from fedgen.evidence.pooled import PooledImages
from fedgen.evidence.workers import workers

FloatArray = NDArray[np.float64]
#: Class probabilities (n_test, K) by judge, an array for each of its classifiers.
Predicted = Mapping[str, Sequence[FloatArray]]

NETWORK = "network"


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
    """What was found.

    Attributes:
        arms: with the control that knows the site alone, where there are several.
        differences: of arms on the same patients.
        ahead: of TRTR, the simple judge's AUROC less the network's; None where one is undefined.
        test_patients: of each site.
        thought: arm to judge to class probabilities (n_test, K) of all test images, one array a classifier.
        everywhere: the test images of all sites.
    """

    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]
    ahead: Score | None
    test_patients: tuple[int, ...]
    thought: Mapping[str, Predicted] = field(default_factory=dict)
    everywhere: TestImages | None = None


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
    features: Mapping[str, tuple[FloatArray, FloatArray]] | None = None,
) -> Downstream:
    """Train and test every arm.

    Args:
        train, test: TRAIN and TEST part of all sites.
        synthetic: the synthetic set.
        classes: class names.
        n_sites: number of sites, with or without test patients.
        steps, seeds, bootstrap: section `evaluation` of the study.
        seed: classifier seeds are seed, seed + 1, ...
        features: of the linear judges, of train and test where they are known.
    """
    labels, patients, owners = test.labels.numpy(), test.patients.numpy(), test.sites.numpy()
    pooled, *per_site = [
        describe(index, labels, patients, owners, classes, replicates=bootstrap, seed=seed)
        for index in (np.arange(len(labels)), *(np.flatnonzero(owners == s) for s in range(n_sites)))
    ]
    unknown = all(images.undefined for images in (pooled, *per_site))
    arms: list[Arm] = []
    replicated: dict[tuple[str, str], Replicated] = {}

    def add(arm: str, n_train: int, predicted: Predicted, untrainable: str | None) -> None:
        cells = []
        for images in (pooled, *per_site):
            scores = _replicated(images, predicted, mean_score if arm in SHUFFLED else replicate_score)
            cells.append(_cell(scores, untrainable or images.undefined or images.note))
            if images is pooled:
                replicated.update({(arm, metric): score for metric, score in scores.items()})
        arms.append(Arm(arm, n_train, cells[0], tuple(cells[1:])))

    sets = {arm: taught(arm, train, synthetic, networks=seeds, seed=seed) for arm in TITLES}
    untrainable = {arm: why_untrainable(found[0], classes) for arm, found in sets.items()}
    able = {arm: found for arm, found in sets.items() if untrainable[arm] is None}
    predicted: dict[str, dict[str, list[FloatArray]]] = {arm: {} for arm in TITLES}
    if not unknown and able:
        with workers() as pool:
            lessons = _lessons(able)
            # The linear judges fill the time in which one search keeps one worker alone busy.
            networks = Learning(pool, lessons, test.images, len(classes), most=steps, seed=seed)
            linear = linear_judges(train, test, synthetic, features or {})
            learnt = {
                (arm, name): pool.submit(judge.learn, found, len(classes))
                for name, judge in linear.items()
                for arm, found in able.items()
            }
            for arm, seen in zip(able, networks.thought(), strict=True):
                predicted[arm][NETWORK] = seen
            for (arm, name), lesson in learnt.items():
                predicted[arm][name] = lesson.result()
    thought: dict[str, Predicted] = dict(predicted)
    for arm, found in sets.items():
        add(arm, len(found[0].labels), predicted[arm], untrainable[arm])
    comparisons: tuple[tuple[str, str], ...] = COMPARISONS
    if n_sites > 1:
        comparisons += SITE_COMPARISONS
        # It looks at no image, so it is the same whoever judges.
        alone = [site_alone(train.labels, train.sites, test.sites, len(classes))]
        judges = (NETWORK, *IN_ROWS) if not unknown and len(classes) > 1 else ()
        thought[SITE_ALONE] = dict.fromkeys(judges, alone)
        add(SITE_ALONE, train.n_images, thought[SITE_ALONE], None)
    differences = tuple(
        _difference(arm, against, metric, replicated) for arm, against in comparisons for metric in METRICS
    )
    network, simple = replicated.get(("TRTR", "auroc")), replicated.get(("TRTR", "simple"))
    ahead = None
    if network is not None and simple is not None:
        ahead = Replicated(simple.value - network.value, simple.replicates - network.replicates, None).score()
    patients_of = tuple(each.n_patients for each in per_site)
    return Downstream(tuple(arms), differences, ahead, patients_of, thought, pooled)


def _lessons(able: Mapping[str, Sequence[TrainingSet]]) -> list[Lesson]:
    """Of each arm that can be taught; some have one network."""
    position = {arm: number for number, arm in enumerate(able)}
    return [
        Lesson(
            sets=tuple(sets[:1] if arm in OF_ONE_NETWORK else sets),
            shared=arm in OF_THE_RELEASE,
            like=position.get(AS_LONG_AS.get(arm, "")),
        )
        for arm, sets in able.items()
    ]


def why_untrainable(data: TrainingSet, classes: Sequence[str]) -> str | None:
    """The reason why no classifier can be trained on a set, as a sentence; None where it can."""
    if len(classes) < 2:
        return f"The study has one class, {classes[0]}: there is nothing to classify."
    missing = [name for c, name in enumerate(classes) if c not in data.labels]
    return f"The training set has no image of {', '.join(missing)}." if missing else None


def _replicated(
    images: TestImages,
    predicted: Predicted,
    score: Callable[[str, TestImages, Sequence[FloatArray]], Replicated],
) -> dict[str, Replicated]:
    if images.undefined:
        return {}
    return {
        name: score(metric, images, predicted[judge])
        for name, (metric, judge) in METRICS.items()
        if judge in predicted and images.has(metric)
    }


def _cell(scores: dict[str, Replicated], note: str | None) -> CellScores:
    table = {metric: scores[metric].score() if metric in scores else None for metric in METRICS}
    certain = [
        SAID[metric] for metric, score in table.items() if score is not None and score.low == score.high
    ]
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
