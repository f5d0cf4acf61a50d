"""The two judges: a network on pixels, and a logistic regression on features, so that one's blindness shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from fedgen.data.site_data import Part
from fedgen.evidence.downstream.arms import TrainingSet
from fedgen.evidence.downstream.classifier import probabilities, train_classifier, trained_once
from fedgen.evidence.downstream.stopping import steps_once, steps_to_train
from fedgen.evidence.measure import Real
from fedgen.evidence.metrics.beside_floor import extract
from fedgen.evidence.metrics.extractors import build_extractor
from fedgen.evidence.pooled import pooled

FloatArray = NDArray[np.float64]

#: Side of the thumbnail, in pixels.
THUMBNAIL = 8
#: Inverse penalty of the logistic regression, strong because cohorts are small.
INVERSE_PENALTY = 0.01


class Judge(Protocol):
    """Learns to classify from an arm's sets and says what it thinks of the test images."""

    def __call__(
        self, sets: Sequence[TrainingSet], test: Tensor, classes: int, seed: int, *, shared: bool = False
    ) -> list[FloatArray]:
        """Class probabilities (n_test, K), one array for each set.

        Args:
            sets: of one arm, one a seed.
            test: (n_test, C, H, W) images.
            classes: K.
            seed: of the first set.
            shared: whether equal sets are asked for again, at other sites, and what was learnt is remembered.
        """


class Network:
    """The network of `train_classifier`, for as many steps as `steps_to_train` finds for the arm's first set."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(
        self, sets: Sequence[TrainingSet], test: Tensor, classes: int, seed: int, *, shared: bool = False
    ) -> list[FloatArray]:
        """See `Judge`."""
        train = trained_once if shared else train_classifier
        steps = (steps_once if shared else steps_to_train)(sets[0], classes, most=self.most, seed=seed)
        nets = (
            train(data.images, data.labels, classes, steps=steps, seed=seed + s)
            for s, data in enumerate(sets)
        )
        return [probabilities(net, test).numpy() for net in nets]


class Simple:
    """Logistic regression, balanced over classes, on `simple_features`."""

    def __init__(self, pool: FloatArray, test: FloatArray) -> None:
        """Features of the real images followed by the synthetic ones, and of the test images."""
        self.pool, self.test = pool, test

    def __call__(
        self, sets: Sequence[TrainingSet], test: Tensor, classes: int, seed: int, *, shared: bool = False
    ) -> list[FloatArray]:
        """See `Judge`; where all sets are one, that one is enough."""
        same = all(
            torch.equal(data.rows, sets[0].rows) and torch.equal(data.labels, sets[0].labels) for data in sets
        )
        return [
            logistic(self.pool[data.rows.numpy()], data.labels.numpy(), self.test, classes)
            for data in (sets[:1] if same else sets)
        ]


def logistic(features: FloatArray, labels: NDArray[np.int64], test: FloatArray, classes: int) -> FloatArray:
    """Class probabilities (n_test, K) of a logistic regression; a class without a training image has none."""
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=1000)
    ).fit(features, labels)
    found = np.zeros((len(test), classes))
    found[:, model.classes_] = model.predict_proba(test)
    return found


def features_of(real: Real, part: Part) -> FloatArray:
    """`simple_features` of one part of all sites, made once."""
    return real.once(("simple features", part), lambda: simple_features(pooled(real, part).images))


def simple_features(images: Tensor) -> FloatArray:
    """Radiomics-like features and a thumbnail of (n, C, H, W) images; (n, f) float64."""
    gray = images.float().mean(dim=1, keepdim=True)
    thumbnail = functional.adaptive_avg_pool2d(gray, THUMBNAIL).flatten(1)
    return (
        torch.cat([extract(build_extractor("radiomics", images.shape[1]), images), thumbnail], dim=1)
        .double()
        .numpy()
    )
