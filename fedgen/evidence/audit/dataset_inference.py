"""Dataset inference: are these patients, taken together, in the training at all?

What tells nothing of one patient may, in many weak signs of many patients, tell that a site's data were used (CDI,
Dubinski et al. 2025). All signs of all attacks are weighed by a ridge regression that never saw the patient it judges,
and the held-out patients say what it would find in people who were not there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.attacks import Signs, asked
from fedgen.evidence.audit.blind import FOLDS, areas_of, out_of_fold
from fedgen.evidence.audit.membership import why_invalid
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Hypothesis, Undecided
from fedgen.run.row import Finding, Row, SitePart, Value, Verdict
from fedgen.study.audit_section import AuditSection
from fedgen_privacy.statistics.auc import bootstrap_interval, minimum_detectable
from fedgen_privacy.statistics.patients import per_patient

#: Cohen's d below which an effect is too small to be reviewed, however sure it is (Cohen 1988: "small").
SMALL = 0.2

#: Up to so many times the study's permutations, where patients are few enough for so many scores at once: p can fall
#: to one in as many, which a correction over all audits leaves something of.
TIMES, BUDGET = 10, 1_000_000


@dataclass(frozen=True)
class Inference:
    """What all signs together say of one group of patients.

    Attributes:
        train, held_out: (p,) and (q,) out-of-fold scores, one a patient.
        auc: of them.
        d: Cohen's d, how many standard deviations training patients score higher.
        p: of an AUC as high with the labels of whole patients permuted and all regressions fitted anew.
    """

    train: NDArray[np.float64]
    held_out: NDArray[np.float64]
    auc: float
    d: float
    p: float


def signs_of_patients(sites: Sequence[Sequence[Signs]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean signs of training (p, s) and of held-out patients (q, s), of all attacks side by side.

    Args:
        sites: of each site, what each attack says.
    """

    def side(of: str) -> NDArray[np.float64]:
        rows = []
        for attacks in sites:
            columns = []
            for signs in attacks:
                patients = getattr(signs.cohort, of).patients.numpy()
                columns += [per_patient(column, patients, "mean") for column in getattr(signs, of).numpy().T]
            rows.append(np.stack(columns, axis=1))
        return np.concatenate(rows)

    return side("train"), side("held_out")


def infer(
    train: NDArray[np.float64], held_out: NDArray[np.float64], permutations: int, seed: int
) -> Inference:
    """Judge signs (p, s) of training and (q, s) of held-out patients; more permutations where there is room."""
    features = np.concatenate([train, held_out])
    truth = np.repeat([1.0, 0.0], [len(train), len(held_out)])
    replicates = max(permutations, min(TIMES * permutations, BUDGET // len(truth)))
    others = np.random.default_rng(seed).permuted(np.tile(truth, (replicates, 1)), axis=1)
    members = np.concatenate([truth[None], others]).T
    scores = out_of_fold(features, members, seed)
    areas = areas_of(members, scores)
    inside, outside = scores[truth == 1, 0], scores[truth == 0, 0]
    spread = math.sqrt((inside.var(ddof=1) + outside.var(ddof=1)) / 2)
    d = float(inside.mean() - outside.mean()) / spread if spread > 0 else 0.0
    return Inference(inside, outside, float(areas[0]), d, float(np.mean(areas >= areas[0])))


@dataclass(frozen=True)
class DatasetInference(Measure):
    """One row: all patients together, and those of each site."""

    id = "dataset-inference"
    title = "Dataset inference"
    order = 6
    of_images = False
    of_model = True
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """One row; none where there is no model, which the audit of membership says.

        Raises:
            DataError: a score of the model is not finite.
        """
        if model is None or not model.attacks:
            return
        found = [asked(real, score, seed) for score in model.attacks.values()]
        sites = list(zip(*found, strict=True))
        yield self._judged(sites, why_invalid(real, self.options, seed), seed)

    def _judged(self, sites: Sequence[Sequence[Signs]], invalid: str | None, seed: int) -> Undecided:
        o = self.options
        names = [signs[0].cohort.site for signs in sites]
        groups = {"all sites" if len(sites) > 1 else names[0]: signs_of_patients(sites)}
        if len(sites) > 1:
            groups |= {name: signs_of_patients([site]) for name, site in zip(names, sites, strict=True)}
        inferred = {
            name: infer(*sides, o.bootstrap, seed) if self._enough(*sides) else None
            for name, sides in groups.items()
        }
        (pooled_name, pooled), *others = inferred.items()
        train, held_out = groups[pooled_name]
        hypotheses, findings = [], []
        if pooled is None:
            few = "There are too few patients to tell whether they were there."
            findings.append(Finding(verdict=Verdict.INSUFFICIENT, sentence=few))
        elif invalid is not None:
            findings.append(Finding(verdict=Verdict.REVIEW, sentence=f"The result is invalid: {invalid}"))
        else:
            hypotheses = [self._hypothesis(name, each) for name, each in inferred.items() if each is not None]
        row = Row(
            id=self.id,
            title=self.title,
            group="audit",
            about="Can an attacker with the model tell whether a site's patients, taken together, are in the training?",
            values=self._values(pooled, train, held_out, seed),
            per_site=tuple(
                SitePart(site=name, values=self._values(each, *groups[name], seed)) for name, each in others
            ),
            n={"train_patients": len(train), "held_out_patients": len(held_out)},
            findings=tuple(findings),
        )
        calm = "The patients as a whole cannot be told from patients who were not in the training."
        return Undecided(row, calm, tuple(hypotheses))

    def _enough(self, train: NDArray[np.float64], held_out: NDArray[np.float64]) -> bool:
        return min(len(train), len(held_out)) >= max(FOLDS, self.options.minimum_patients)

    @staticmethod
    def _hypothesis(name: str, found: Inference) -> Hypothesis:
        return Hypothesis(
            # An effect that is small is not reviewed: its p counts as none, which keeps the level.
            found.p if found.d >= SMALL else 1.0,
            Verdict.REVIEW,
            f"That patients of {name} were in the training can be told from many weak signs together (AUC "
            f"{found.auc:.2f}, d = {found.d:.2f})",
        )

    def _values(
        self,
        found: Inference | None,
        train: NDArray[np.float64],
        held_out: NDArray[np.float64],
        seed: int,
    ) -> tuple[Value, ...]:
        if found is None:
            return (Value.of("AUC", None, note="too few patients"),)
        o = self.options
        rng = np.random.default_rng(seed)
        limits = bootstrap_interval(found.train, found.held_out, o.alpha, o.bootstrap, rng)
        return (
            Value.of("AUC", found.auc, *limits, f"of {train.shape[1]} signs together, patients left out"),
            Value.of("effect (Cohen's d)", found.d, note=f"below {SMALL:g} it is not reviewed"),
            Value.of("p, in the training (permutation of patients, one-sided)", found.p),
            Value.of(
                "smallest detectable AUC",
                minimum_detectable(len(train), len(held_out), o.alpha),
                note="80 % power, before correction",
            ),
        )
