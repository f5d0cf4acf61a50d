"""The linear judges of a report, each with what it looks at in all images it is asked of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.downstream.arms import TrainingSet
from fedgen.evidence.downstream.linear import LINEAR
from fedgen.evidence.downstream.remembered import content, once
from fedgen.evidence.measure import Real
from fedgen.evidence.pooled import PooledImages, pooled

FloatArray = NDArray[np.float64]

#: Those whose scores are in the rows.
IN_ROWS = ("simple", "texture")


class LinearInRows:
    """A linear judge, with the features of the images of all arms and of the test images."""

    def __init__(self, name: str, pool: FloatArray, test: FloatArray) -> None:
        """Features of the real images followed by the synthetic ones, and of the test images."""
        self._judge, self._pool, self._test = LINEAR[name], pool, test

    def learn(self, sets: Sequence[TrainingSet], classes: int) -> list[FloatArray]:
        """Class probabilities (n_test, K), one array for each labelling of an arm's images.

        Args:
            sets: of one arm, of the same images; where the labels are the same too, one array is all there is.
            classes: K.
        """
        different = sets[:1] if all(data is sets[0] for data in sets) else sets
        labelled = [data.labels.numpy() for data in different]
        return self._judge.learn(self._pool[sets[0].rows.numpy()], labelled, self._test, classes)


def linear_judges(
    train: PooledImages,
    test: PooledImages,
    synthetic: LabelledImages,
    known: Mapping[str, tuple[FloatArray, FloatArray]],
) -> dict[str, LinearInRows]:
    """Those of the rows; `known` are features of train and test that were made before."""
    made = {}
    for name in IN_ROWS:
        features = LINEAR[name].features
        of_release = release_features(synthetic.images, name)
        own, asked = known[name] if name in known else (features(train.images), features(test.images))
        made[name] = LinearInRows(name, np.concatenate([own, of_release]), asked)
    return made


def release_features(images: Tensor, name: str) -> FloatArray:
    """Features of a linear judge of a release, made once a process: in a simulation every site asks for them."""
    return once(("features", name, content(images)), partial(LINEAR[name].features, images))


def features_of(real: Real, part: Part, name: str) -> FloatArray:
    """Features of a linear judge of one part of all sites, made once."""
    return real.once((name, part), lambda: LINEAR[name].features(pooled(real, part).images))
