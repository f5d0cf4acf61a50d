"""The judges of a report: a network on pixels, and linear ones on features, so that the blindness of one shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgen.data.site_data import Part
from fedgen.evidence.downstream.arms import TrainingSet
from fedgen.evidence.downstream.classifier import probabilities, train_classifier, trained_once
from fedgen.evidence.downstream.linear import LINEAR, LinearJudge
from fedgen.evidence.downstream.stopping import steps_once, steps_to_train
from fedgen.evidence.measure import Real
from fedgen.evidence.pooled import pooled

FloatArray = NDArray[np.float64]

#: The linear judges whose scores are in the rows.
IN_ROWS = ("simple", "texture")


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


class Linear:
    """A linear judge, with the features of all images it may be asked of."""

    def __init__(self, judge: LinearJudge, pool: FloatArray, test: FloatArray) -> None:
        """Features of the real images followed by the synthetic ones, and of the test images."""
        self.judge, self.pool, self.test = judge, pool, test

    def __call__(
        self, sets: Sequence[TrainingSet], test: Tensor, classes: int, seed: int, *, shared: bool = False
    ) -> list[FloatArray]:
        """See `Judge`; where all sets are one, that one is enough."""
        same = all(
            torch.equal(data.rows, sets[0].rows) and torch.equal(data.labels, sets[0].labels) for data in sets
        )
        return [
            self.judge(self.pool[data.rows.numpy()], data.labels.numpy(), self.test, classes)
            for data in (sets[:1] if same else sets)
        ]


def features_of(real: Real, part: Part, name: str) -> FloatArray:
    """Features of a linear judge of one part of all sites, made once."""
    return real.once((name, part), lambda: LINEAR[name].features(pooled(real, part).images))
