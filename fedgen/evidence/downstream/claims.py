"""What a reader would like to claim of the arms, each with a paired test, and all of them corrected together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.downstream.arms import COMPARISONS, SITE_COMPARISONS
from fedgen.evidence.downstream.cells import TestImages, replicate_score
from fedgen.evidence.downstream.paired import bootstrap_p, delong_p
from fedgen.evidence.downstream.taught_arms import Opinion, opinions
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.pooled import pooled
from fedgen.run.row import Row, Value
from fedgen.study.evaluation_section import EvaluationSection
from fedgen_privacy.statistics.multiplicity import holm

FloatArray = NDArray[np.float64]

GROUP, PATIENTS = "claims", "test_patients"
JUDGES = ("network", "simple")
ABOUT = (
    "Is the difference in AUROC on the same patients more than luck? p of a bootstrap over patients and, of two "
    "classes, of DeLong's test with patients as units; p (Holm) is the larger, corrected for all claims of this table."
)


@dataclass(frozen=True)
class _Claim:
    arm: str
    against: str
    judge: str
    difference: float
    bootstrap: float
    delong: float | None

    @property
    def p(self) -> float:
        return self.bootstrap if self.delong is None else max(self.bootstrap, self.delong)


@dataclass(frozen=True)
class Claims(Measure):
    """A paired test for each difference between arms."""

    id = "claims"
    title = "Claims"
    order = 4
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """A row a difference; nothing where no score is defined."""
        known = opinions(real, made, self.options, seed)
        if known is None:
            return
        test = known.test
        patients = pooled(real, Part.TEST).patients.numpy()
        pairs = (*COMPARISONS, *(SITE_COMPARISONS if len(real.sites) > 1 else ()))
        arms = dict.fromkeys(name for pair in pairs for name in pair)
        claims = []
        for judge in JUDGES:
            by_arm = {opinion.arm: opinion for opinion in known.of(arms, (judge,))}
            for arm, against in pairs:
                if arm in by_arm and against in by_arm:
                    claims.append(_claim(by_arm[arm], by_arm[against], test, patients))
        adjusted = iter(holm([each.p for each in claims]))
        for each in claims:
            delong = () if each.delong is None else (Value(name="p, DeLong", value=each.delong),)
            yield Row(
                id=f"claim-{each.arm}-against-{each.against}-{each.judge}",
                title=f"{each.arm} against {each.against}, {each.judge}",
                group=GROUP,
                about=ABOUT,
                values=(
                    Value(name="difference in AUROC", value=each.difference),
                    Value(name="p, bootstrap", value=each.bootstrap),
                    *delong,
                    Value(name="p (Holm)", value=next(adjusted)),
                ),
                n={PATIENTS: test.n_patients},
                note=f"Corrected for {len(claims)} claims.",
            )


def _claim(ours: Opinion, theirs: Opinion, test: TestImages, patients: NDArray[np.int64]) -> _Claim:
    one, other = (replicate_score("auroc", test, opinion.each) for opinion in (ours, theirs))
    delong = None
    if len(np.unique(test.labels)) == 2:
        positive = test.labels == test.labels.max()
        of_class = int(test.labels.max())
        scores = [opinion.mean[test.index, of_class] for opinion in (ours, theirs)]
        delong = delong_p(scores[0], scores[1], positive, patients[test.index])
    return _Claim(
        ours.arm,
        theirs.arm,
        ours.judge,
        one.value - other.value,
        bootstrap_p(one.replicates - other.replicates),
        delong,
    )
