"""Calibration: does a classifier taught by an arm mean its probabilities?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.downstream.bootstrap import percentile_interval
from fedgen.evidence.downstream.cells import TestImages
from fedgen.evidence.downstream.taught_arms import opinions
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.run.row import Row, Value
from fedgen.study.evaluation_section import EvaluationSection

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

GROUP, PATIENTS = "calibration", "test_patients"
#: Equal bins of confidence.
BINS = 15
ARMS = ("TRTR", "TSTR", "TRTR+S", "TRTR+R")
#: Judge -> how its numbers are called.
JUDGES = {"network": "", "simple": ", simple judge"}
ABOUT = (
    "Expected calibration error (15 bins, Guo et al. 2017; 0 to 1) and Brier score (1950; 0 to 2), lower is better. "
    "Who always tells the classes' shares is calibrated and knows nothing: an ECE without an AUROC says little."
)


@dataclass(frozen=True)
class Calibration(Measure):
    """ECE and Brier score of each arm."""

    id = "calibration"
    title = "Calibration"
    order = 6
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """A row an arm, and one of the classes' shares; nothing where no score is defined."""
        known = opinions(real, made, self.options, seed)
        if known is None:
            return
        test = known.test
        for arm, each in groupby(known.of(ARMS, JUDGES), key=lambda opinion: opinion.arm):
            yield _row(f"calibration-{arm}", arm, {JUDGES[one.judge]: one.mean for one in each}, test)
        shares = np.bincount(test.labels, minlength=len(real.classes)) / len(test.labels)
        always = np.tile(shares, (len(test.labels), 1))
        yield _row(
            "calibration-shares", "Control: the classes' shares, whatever the image", {"": always}, test
        )


def _row(id: str, title: str, thought: Mapping[str, FloatArray], test: TestImages) -> Row:
    values = []
    for judge, probabilities in thought.items():
        own = probabilities[test.index]
        for name, score in (("ECE", weighted_ece), ("Brier", weighted_brier)):
            one = float(score(test.labels, own, np.ones((1, len(own))))[0])
            low, high = percentile_interval(score(test.labels, own, test.weights))
            values.append(
                Value(name=f"{name}{judge}", value=one, low=low, high=high, pool="mean", weight=PATIENTS)
            )
    return Row(
        id=id, title=title, group=GROUP, about=ABOUT, values=tuple(values), n={PATIENTS: test.n_patients}
    )


def weighted_ece(labels: IntArray, probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean distance of confidence and accuracy over bins of the most probable class's probability; shape (R,).

    Args:
        labels: (n,).
        probabilities: (n, K).
        weights: (R, n) how often each image counts.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    # Edges belong to the bin below, as in torchmetrics.
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    member = (bins[:, None] == np.arange(BINS)).astype(np.float64)
    gap = weights @ (member * (correct - confidence)[:, None])
    found: FloatArray = np.abs(gap).sum(axis=1) / weights.sum(axis=1)
    return found


def weighted_brier(labels: IntArray, probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean squared distance of the probabilities from the true class's indicator, summed over classes; shape (R,)."""
    truth = np.eye(probabilities.shape[1])[labels]
    found: FloatArray = weights @ ((probabilities - truth) ** 2).sum(axis=1) / weights.sum(axis=1)
    return found
