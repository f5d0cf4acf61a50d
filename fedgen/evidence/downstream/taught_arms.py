"""The arms of the downstream comparison, taught and tested once for all measures that ask about them."""

from __future__ import annotations

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.downstream.downstream import Downstream, measure_downstream
from fedgen.evidence.downstream.judges import IN_ROWS, features_of
from fedgen.evidence.measure import Real
from fedgen.evidence.pooled import pooled
from fedgen.study.evaluation_section import EvaluationSection


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
