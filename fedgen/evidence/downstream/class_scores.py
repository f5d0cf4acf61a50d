"""Inception score and mode score, by the simple judge in the place of Inception: are classes clear, and all there?

They look at what a classifier thinks and not at the images: one clear image a class, copied or made up, has the highest
score there is. Real images of held-out patients, weighted to the release's share of each class, stand beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.downstream.bootstrap import percentile_interval, replicate_weights
from fedgen.evidence.downstream.cells import why_undefined
from fedgen.evidence.downstream.judges import features_of, release_features
from fedgen.evidence.downstream.linear import LINEAR
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.pooled import pooled
from fedgen.run.row import Row, Value, cut
from fedgen.study.evaluation_section import EvaluationSection

FloatArray = NDArray[np.float64]

GROUP, JUDGE, PATIENTS = "class_scores", "simple", "test_patients"
#: Parts of the release, for a spread (Salimans et al. 2016 take ten).
PARTS = 10
ABOUT = {
    "inception-score": "exp of the mean divergence of the simple judge's opinion of an image from its mean opinion "
    "(Salimans et al. 2016): 1 where images are unclear or of one class, the number of classes at most.",
    "mode-score": "The inception score, less where the judge finds other shares of the classes than among real images "
    "(Che et al. 2017, as Xu et al. 2018 write it).",
}


@dataclass(frozen=True)
class ClassScores(Measure):
    """Inception and mode score."""

    id = "class-scores"
    title = "Class scores"
    order = 5
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """A row a score; nothing of a study of one class."""
        classes = len(real.classes)
        if classes < 2:
            return
        train, test = pooled(real, Part.TRAIN), pooled(real, Part.TEST)
        labels, patients = test.labels.numpy(), test.patients.numpy()
        missing = [name for c, name in enumerate(real.classes) if c not in train.labels]
        reason = why_undefined(labels, patients, real.classes)
        if missing:
            reason = f"No training image is of {', '.join(missing)}, so no judge can be trained."
        n = {PATIENTS: test.n_patients, "synthetic_images": len(made.labels)}
        if reason is not None:
            for id, about in ABOUT.items():
                nothing = (Value(name="synthetic", value=None), Value(name="real", value=None))
                yield Row(
                    id=id, title=_title(id), group=GROUP, about=about, values=nothing, n=n, note=cut(reason)
                )
            return
        judge = LINEAR[JUDGE]
        of_release = release_features(made.images, JUDGE)
        asked = np.concatenate([of_release, features_of(real, Part.TEST, JUDGE)])
        thought = judge(features_of(real, Part.TRAIN, JUDGE), train.labels.numpy(), asked, classes)
        ours, theirs = thought[: len(of_release)], thought[len(of_release) :]
        share = np.bincount(made.labels.numpy(), minlength=classes) / len(made.labels)
        each = (share / np.maximum(np.bincount(labels, minlength=classes), 1))[labels]
        drawn = replicate_weights(patients, labels, self.options.bootstrap, seed=seed)
        expected = marginal(theirs, each[None])[0]
        parts = np.random.default_rng(seed).permutation(len(ours)) % PARTS
        split = (parts[None] == np.arange(PARTS)[:, None]).astype(np.float64)
        whole = np.ones((1, len(ours)))
        for id in ABOUT:
            score = inception_score if id == "inception-score" else partial(mode_score, expected=expected)
            replicates = score(theirs, drawn * each)
            enough = len(ours) >= 2 * PARTS
            yield Row(
                id=id,
                title=_title(id),
                group=GROUP,
                about=ABOUT[id],
                values=(
                    Value(
                        name="synthetic",
                        value=float(score(ours, whole)[0]),
                        std=float(score(ours, split).std(ddof=1)) if enough else None,
                    ),
                    _interval("real", float(score(theirs, each[None])[0]), replicates),
                    Value(name="most possible", value=classes),
                ),
                n=n,
                note=f"std is over {PARTS} parts of the release; one clear image a class has the highest score.",
            )


def _title(id: str) -> str:
    return id.replace("-", " ").capitalize()


def _interval(name: str, value: float, replicates: FloatArray) -> Value:
    low, high = percentile_interval(replicates)
    return Value(name=name, value=value, low=low, high=high)


def marginal(probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    """(R, K) mean opinion under each row of (R, n) weights of (n, K) probabilities."""
    found: FloatArray = weights @ probabilities / weights.sum(axis=1, keepdims=True)
    return found


def inception_score(probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    """exp E KL(p(y|x) || p(y)) (Salimans et al. 2016) under each row of (R, n) weights; shape (R,), in [1, K]."""
    own = (probabilities * _log(probabilities)).sum(axis=1)
    mean = marginal(probabilities, weights)
    found: FloatArray = np.exp(weights @ own / weights.sum(axis=1) - (mean * _log(mean)).sum(axis=1))
    return found


def mode_score(probabilities: FloatArray, weights: FloatArray, expected: FloatArray) -> FloatArray:
    """`inception_score` times exp(-KL(p(y) || expected)) (Xu et al. 2018, section 2); shape (R,), in (0, K].

    Args:
        probabilities, weights: as for `inception_score`.
        expected: (K,) mean opinion of real images.
    """
    mean = marginal(probabilities, weights)
    found: FloatArray = inception_score(probabilities, weights) * np.exp(
        -(mean * (_log(mean) - _log(expected)[None])).sum(axis=1)
    )
    return found


def _log(p: FloatArray) -> FloatArray:
    found: FloatArray = np.log(np.maximum(p, 1e-12))
    return found
