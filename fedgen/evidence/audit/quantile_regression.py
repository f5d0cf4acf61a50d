"""The loss attack, image by image against what is usual of such an image (QMIA, Bertran et al. 2023).

An image may be known well because it is simple. Two linear quantile regressions, of the middle and of the upper tail of
the score by the image's features, are fitted on half of the held-out patients; training patients and the other half are
judged by how far their scores lie beyond. No score of the patients in the test is used to make it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import QuantileRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.attacks import Signs, asked
from fedgen.evidence.audit.blind import simple_features
from fedgen.evidence.audit.membership import Scores, membership, rules, why_invalid
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Undecided
from fedgen.study.audit_section import AuditSection

#: Quantiles of the score that are foreseen: its middle, and a tail by which its spread is measured.
MIDDLE, TAIL = 0.5, 0.9

#: A feature for so many images of the regression, and this many at most.
IMAGES_A_FEATURE, FEATURES = 8, 8

#: Least spread, as a share of that of all scores of the regression: a smaller one would make everything an outlier.
LEAST_SPREAD = 0.25


def beyond(
    features: NDArray[np.float64], scores: NDArray[np.float64], calibrate: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How far each score lies beyond what is usual of such features, in spreads, (n,).

    Args:
        features: (n, f) of the images.
        scores: (n,).
        calibrate: (n,) which of them say what is usual; at least two.
    """
    scale = float(np.ptp(np.quantile(scores[calibrate], [0.1, 0.9]))) or 1.0
    middle, tail = (
        _foreseen(quantile, features[calibrate], scores[calibrate] / scale).predict(features)
        for quantile in (MIDDLE, TAIL)
    )
    spread: NDArray[np.float64] = np.maximum(tail - middle, LEAST_SPREAD)
    return np.asarray((scores / scale - middle) / spread)


def _foreseen(quantile: float, features: NDArray[np.float64], scores: NDArray[np.float64]) -> Pipeline:
    kept = max(1, min(FEATURES, len(scores) // IMAGES_A_FEATURE, *features.shape))
    regressor = QuantileRegressor(quantile=quantile, alpha=1e-3)
    return make_pipeline(StandardScaler(), PCA(kept, svd_solver="full"), regressor).fit(features, scores)


def against_usual(signs: Signs, seed: int) -> Scores:
    """The scores of training patients and of those held-out patients that were not used to say what is usual."""
    found = signs.scores()
    patients = np.unique(found.held_out_patients)
    half = np.random.default_rng(seed).permutation(patients)[: (len(patients) + 1) // 2]
    usual = np.isin(found.held_out_patients, half)
    images = (signs.cohort.train.images, signs.cohort.held_out.images)
    features = np.concatenate([simple_features(each) for each in images])
    scores = np.concatenate([found.train, found.held_out])
    calibrate = np.concatenate([np.zeros(len(found.train), dtype=bool), usual])
    train, held_out = np.split(beyond(features, scores, calibrate), [len(found.train)])
    return Scores(found.site, train, found.train_patients, held_out[~usual], found.held_out_patients[~usual])


@dataclass(frozen=True)
class QuantileRegression(Measure):
    """One row, where the study asks for it (`audit.quantile_regression`)."""

    id = "quantile-regression"
    title = "Membership inference by quantile regression"
    order = 8
    of_images = False
    of_model = True
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """One row or none.

        Raises:
            DataError: a score of the model is not finite.
        """
        if not self.options.quantile_regression or model is None or "loss" not in model.attacks:
            return
        signs = asked(real, model.attacks["loss"], seed)
        # Two patients to fit, and one at least to test.
        scores = [against_usual(each, seed) for each in signs if each.cohort.held_out.n_patients > 2]
        if not scores:
            return
        yield membership(
            self.id,
            self.title,
            "Can an attacker with the model, who knows what loss such an image has, tell training patients?",
            scores,
            rules(self.options, model, seed),
            invalid=why_invalid(real, self.options, seed),
        )
