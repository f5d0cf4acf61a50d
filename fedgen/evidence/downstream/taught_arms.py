"""The arms of the downstream comparison, taught and tested once for all measures that ask about them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.downstream.cells import TestImages
from fedgen.evidence.downstream.downstream import Downstream, measure_downstream
from fedgen.evidence.downstream.judges import IN_ROWS, features_of
from fedgen.evidence.measure import Real
from fedgen.evidence.pooled import pooled
from fedgen.study.evaluation_section import EvaluationSection

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Opinion:
    """What a judge that an arm taught thinks of the test images.

    Attributes:
        arm, judge: names.
        each: class probabilities (n_test, K) of each of its classifiers, one at least.
    """

    arm: str
    judge: str
    each: Sequence[FloatArray]

    @property
    def mean(self) -> FloatArray:
        """(n_test, K) over the classifiers, which together are one judge."""
        found: FloatArray = np.mean(self.each, axis=0)
        return found


def taught_arms(real: Real, made: LabelledImages, options: EvaluationSection, seed: int) -> Downstream:
    """`measure_downstream` of the sites and the release, made once."""

    def measure() -> Downstream:
        features = {}
        if len(real.classes) > 1 and all(pooled(real, part).n_images for part in (Part.TRAIN, Part.TEST)):
            features = {
                name: (features_of(real, Part.TRAIN, name), features_of(real, Part.TEST, name))
                for name in IN_ROWS
            }
        return measure_downstream(
            pooled(real, Part.TRAIN),
            pooled(real, Part.TEST),
            made,
            real.classes,
            n_sites=len(real.sites),
            steps=options.steps,
            seeds=options.seeds,
            bootstrap=options.bootstrap,
            seed=seed,
            features=features,
        )

    return real.once(("arms", made, options.steps, options.seeds, options.bootstrap, seed), measure)


@dataclass(frozen=True)
class Opinions:
    """The opinions that have a score.

    Attributes:
        found: of all arms.
        test: the test images of all sites, on which scores are defined.
    """

    found: Downstream
    test: TestImages

    def of(self, arms: Collection[str], judges: Collection[str]) -> Iterator[Opinion]:
        """Those of some arms and judges, arm by arm; one that could not be taught has none."""
        for arm in arms:
            for judge in judges:
                each = self.found.thought.get(arm, {}).get(judge, ())
                if len(each):
                    yield Opinion(arm, judge, each)


def opinions(real: Real, made: LabelledImages, options: EvaluationSection, seed: int) -> Opinions | None:
    """Of `taught_arms`; None where the test patients, or a single class, define no score."""
    found = taught_arms(real, made, options, seed)
    test = found.everywhere
    if test is None or test.undefined or len(real.classes) < 2:
        return None
    return Opinions(found, test)
