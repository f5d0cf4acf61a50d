"""The linear judges of a report, each with what it looks at in all images it is asked of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.downstream.arms import TrainingSet
from fedgen.evidence.downstream.linear import LINEAR, Taught
from fedgen.evidence.known_features import first_equal
from fedgen.evidence.measure import Real
from fedgen.evidence.pooled import PooledImages, pooled
from fedgen.evidence.remembered import content, once

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Those whose scores are in the rows.
IN_ROWS = ("simple", "texture")


class Known(NamedTuple):
    """What is known of a release.

    Attributes:
        content: that it is this one.
        same: (n,) of each image the position of the first that equals it.
    """

    content: str
    same: IntArray

    @classmethod
    def of(cls, images: Tensor) -> Known:
        """Of (n, C, H, W) images."""
        return cls(content(images), first_equal(images).numpy())


class LinearInRows:
    """A linear judge, with the features of the images of all arms and of the test images."""

    def __init__(
        self, name: str, own: FloatArray, of_release: FloatArray, test: FloatArray, release: Known
    ) -> None:
        """Features of the real, the synthetic and the test images, and which release it is."""
        self._name, self._judge, self._test, self._release = name, LINEAR[name], test, release
        self._real, self._pool = len(own), np.concatenate([own, of_release])
        self._same = np.concatenate([np.arange(len(own)), len(own) + release.same])

    def learn(self, sets: Sequence[TrainingSet], classes: int) -> list[FloatArray]:
        """Class probabilities (n_test, K), one array for each labelling of an arm's images.

        Args:
            sets: of one arm, of the same images; where the labels are the same too, one array is all there is.
            classes: K.
        """
        different = sets[:1] if all(data is sets[0] for data in sets) else sets
        rows, labels = sets[0].rows, [data.labels for data in different]

        def teach() -> Taught:
            return self._judge.teach(self._pool, [each.numpy() for each in labels], self._same[rows.numpy()])

        if int(rows.min()) < self._real:
            return teach().think(self._test, classes)
        # What is learnt of the release alone is the same at every site.
        key = ("linear", self._name, self._release.content, content(rows - self._real, *labels))
        return once(key, teach).think(self._test, classes)


def linear_judges(
    train: PooledImages,
    test: PooledImages,
    synthetic: LabelledImages,
    known: Mapping[str, tuple[FloatArray, FloatArray]],
) -> dict[str, LinearInRows]:
    """Those of the rows; `known` are features of train and test that were made before."""
    made, release = {}, Known.of(synthetic.images)
    for name in IN_ROWS:
        features = LINEAR[name].features
        of_release = release_features(synthetic.images, name)
        own, asked = known[name] if name in known else (features(train.images), features(test.images))
        made[name] = LinearInRows(name, own, of_release, asked, release)
    return made


def release_features(images: Tensor, name: str) -> FloatArray:
    """Features of a linear judge of a release, made once a process: in a simulation every site asks for them."""
    return once(("features", name, content(images)), partial(LINEAR[name].features, images))


def features_of(real: Real, part: Part, name: str) -> FloatArray:
    """Features of a linear judge of one part of all sites, made once."""
    return real.once((name, part), lambda: LINEAR[name].features(pooled(real, part).images))
