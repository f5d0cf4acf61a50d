"""The linear judges: a logistic regression on features, quick, and convex, so that no seed is in it.

An image that a training set has several times is learnt from once, with its weight: the very same regression, for a
release that repeats images and for the controls that duplicate real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from fedgen.evidence.downstream.features import Features, pixels, simple_features, texture_features

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Principal components of the gradients' histograms.
COMPONENTS = 40
#: Power iterations with which they are found.
POWER = 7


@dataclass(frozen=True)
class LinearJudge:
    """A logistic regression, balanced over classes, on features that are scaled first.

    Attributes:
        features: what it looks at.
        scale: makes what scales them, from (u, f) features of different images and (u,) how often each is there.
        inverse_penalty: of the regression, strong because cohorts are small.
    """

    features: Features
    scale: Callable[[FloatArray, FloatArray], Any]
    inverse_penalty: float

    def __call__(self, features: FloatArray, labels: IntArray, test: FloatArray, classes: int) -> FloatArray:
        """`learn` from one labelling."""
        return self.learn(features, [labels], test, classes)[0]

    def learn(
        self, features: FloatArray, labelled: Sequence[IntArray], test: FloatArray, classes: int
    ) -> list[FloatArray]:
        """Class probabilities (n_test, K) for each labelling; a class without a training image has none.

        Args:
            features: (n, f) of the training images.
            labelled: (n,) labels, of two classes at least.
            test: (n_test, f).
            classes: K.
        """
        return self.teach(features, labelled).think(test, classes)

    def teach(
        self, features: FloatArray, labelled: Sequence[IntArray], rows: IntArray | None = None
    ) -> Taught:
        """What it learns from each labelling.

        Args:
            features: (m, f) of images.
            labelled: (n,) labels of the training images, of two classes at least.
            rows: (n,) which of the m images each training image is, with repetitions; None where they are all, once.
        """
        kept, which, counts = np.unique(
            np.arange(len(features)) if rows is None else rows, return_inverse=True, return_counts=True
        )
        # Threads of the algebra wait longer for each other than such small matrices take.
        with threadpool_limits(1):
            chosen = features[kept]
            scale = self.scale(chosen, counts.astype(np.float64))
            # Components of single precision's features are found in it, at half the time; all else is in double.
            known = scale.transform(chosen).astype(np.float64, copy=False)
            return Taught(scale, [self._decide(known, which, labels) for labels in labelled])

    def _decide(self, known: FloatArray, which: IntArray, labels: IntArray) -> LogisticRegression:
        classes = int(labels.max()) + 1
        pairs, counts = np.unique(which * classes + labels, return_counts=True)
        own = pairs % classes
        share = np.bincount(labels)
        # Classes weigh the same, as with `class_weight="balanced"` on the images one by one.
        weights = counts * len(labels) / (np.count_nonzero(share) * share[own])
        model = LogisticRegression(C=self.inverse_penalty, max_iter=1000)
        return model.fit(known[pairs // classes], own, sample_weight=weights)


@dataclass(frozen=True)
class Taught:
    """A judge that has learnt.

    Attributes:
        scale: of its features.
        models: one a labelling.
    """

    scale: Any
    models: Sequence[LogisticRegression]

    def think(self, test: FloatArray, classes: int) -> list[FloatArray]:
        """Class probabilities (n_test, K) of (n_test, f) features, one array a labelling."""
        with threadpool_limits(1):
            asked = self.scale.transform(test).astype(np.float64, copy=False)
            return [self._probabilities(model, asked, classes) for model in self.models]

    @staticmethod
    def _probabilities(model: LogisticRegression, asked: FloatArray, classes: int) -> FloatArray:
        found = np.zeros((len(asked), classes))
        found[:, model.classes_] = model.predict_proba(asked)
        return found


def _standardised(features: FloatArray, counts: FloatArray) -> Any:
    return StandardScaler().fit(features, sample_weight=counts)


@dataclass(frozen=True)
class _Components:
    """Coordinates along the principal components."""

    mean: FloatArray
    axes: FloatArray

    def transform(self, features: FloatArray) -> FloatArray:
        found: FloatArray = (features - self.mean) @ self.axes.T
        return found


def _components(features: FloatArray, counts: FloatArray) -> Any:
    weights = counts.astype(features.dtype)[:, None]
    mean = (weights * features).sum(axis=0) / weights.sum()
    # The cross product of these rows is the covariance of the images one by one.
    rows = (features - mean) * np.sqrt(weights)
    found = TruncatedSVD(min(COMPONENTS, *features.shape), n_iter=POWER, random_state=0).fit(rows)
    return _Components(mean, found.components_)


def _raw(features: FloatArray, counts: FloatArray) -> Any:
    return FunctionTransformer().fit(features)


#: The penalties and the number of components were chosen by cross-validation over patients on training images alone.
LINEAR = {
    "simple": LinearJudge(simple_features, _standardised, 0.01),
    "texture": LinearJudge(texture_features, _components, 0.1),
    "pixel": LinearJudge(pixels, _raw, 0.001),
}
