"""The linear judges: a logistic regression on features, quick, and convex, so that no seed is in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from fedgen.evidence.downstream.features import Features, pixels, simple_features, texture_features
from fedgen.evidence.workers import workers

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Principal components of the gradients' histograms.
COMPONENTS = 40


@dataclass(frozen=True)
class LinearJudge:
    """A logistic regression, balanced over classes, on features that are scaled first.

    Attributes:
        features: what it looks at.
        scale: makes what scales them, from the number of training images and of features.
        inverse_penalty: of the regression, strong because cohorts are small.
    """

    features: Features
    scale: Callable[[int, int], Any]
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

    def teach(self, features: FloatArray, labelled: Sequence[IntArray]) -> Taught:
        """What it learns from each labelling; arguments as of `learn`."""
        # Threads of the algebra wait longer for each other than such small matrices take.
        with threadpool_limits(1):
            scale = self.scale(*features.shape)
            # Components of single precision's features are found in it, at half the time; all else is in double.
            known = scale.fit_transform(features).astype(np.float64, copy=False)
            with workers() as pool:
                return Taught(scale, list(pool.map(lambda labels: self._decide(known, labels), labelled)))

    def _decide(self, known: FloatArray, labels: IntArray) -> LogisticRegression:
        model = LogisticRegression(C=self.inverse_penalty, class_weight="balanced", max_iter=1000)
        return model.fit(known, labels)


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


def _standardised(images: int, features: int) -> Any:
    return StandardScaler()


def _components(images: int, features: int) -> Any:
    return PCA(min(COMPONENTS, images, features), random_state=0)


def _raw(images: int, features: int) -> Any:
    return FunctionTransformer()


#: The penalties and the number of components were chosen by cross-validation over patients on training images alone.
LINEAR = {
    "simple": LinearJudge(simple_features, _standardised, 0.01),
    "texture": LinearJudge(texture_features, _components, 0.1),
    "pixel": LinearJudge(pixels, _raw, 0.001),
}
