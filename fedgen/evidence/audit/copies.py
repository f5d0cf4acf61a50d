"""Copy detection: is a synthetic image nearer to ONE training patient than any other person is?

The score of an image is its isolation (`nearest.isolation`). Held-out patients say how isolated an image of
another person can be: the threshold tau is their r-th smallest score, one image a patient, and a synthetic
image below tau is a suspected copy. Fisher's exact test stays exact with a tau chosen this way
(`proportions.fisher_greater`), so no held-out patient is spent on calibration alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.audited import AuditedGroup, AuditedSite, join, release_group, usable
from fedgen.evidence.audit.comparison import Cell, compared
from fedgen.evidence.audit.features import pixels
from fedgen.evidence.audit.nearest import isolation
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Hypothesis, Undecided
from fedgen.run.row import Finding, Row, SitePart, Value, Verdict
from fedgen.study.audit_section import AuditSection
from fedgen_privacy.statistics.patients import one_image_each
from fedgen_privacy.statistics.proportions import clopper_pearson, fisher_greater, smallest_significant

#: share of held-out patients below tau, so that one person held under two identities cannot hide copies
QUANTILE = 0.02

#: an image this isolated is a near copy: four times as near to one patient as to the next ten. Chest X-rays of
#: different people (64 pixels) stayed above 0.3; copies with 5 % noise stayed below 0.2
NEAR_COPY = 0.25


@dataclass(frozen=True)
class Suspects:
    """Suspected copies in one cell.

    Attributes:
        tau: the threshold.
        flagged: (n,) bool, synthetic images below tau.
        train_patients: training patients who are nearest to a flagged image.
        base: held-out patients below tau, by choice of tau.
        base_patients: held-out patients.
    """

    tau: float
    flagged: Tensor
    train_patients: int
    base: int
    base_patients: int

    @property
    def p(self) -> float:
        """Fisher's exact p-value against "no more suspected copies than among held-out patients"."""
        return fisher_greater(int(self.flagged.sum()), self.flagged.numel(), self.base, self.base_patients)


def suspects(cell: Cell, seed: int) -> Suspects:
    """The synthetic images nearer to one training patient than all but 2 % of the held-out patients are."""
    chosen = one_image_each(cell.held_out_patients.numpy(), np.random.default_rng(seed))
    scores = np.sort(isolation(cell.held_out)[torch.from_numpy(chosen)].numpy())
    base = int(QUANTILE * scores.size)
    tau = float(scores[base])
    flagged = isolation(cell.synthetic) < tau
    copied = int(torch.unique(cell.synthetic.patient[flagged, 0]).numel())
    return Suspects(tau, flagged, copied, base, int(scores.size))


@dataclass(frozen=True)
class NearCopies:
    """Synthetic images within a fixed fraction of the distance that separates people.

    Attributes:
        count: synthetic images with an isolation below `NEAR_COPY`.
        base: real patients as near to ANOTHER patient, held-out and training together.
        p: Fisher's p-value against "no more near copies than real patients as near to another".
    """

    count: int
    base: int
    p: float


def near_copies(cell: Cell, seed: int) -> NearCopies:
    """Near copies, with all real patients as the base.

    The threshold is fixed beforehand, so training patients, compared with each other, may join the base, and
    rarer copies are seen than with held-out patients alone. Two training patients can be each other's
    nearest, which makes their scores come in pairs: half of them count.
    """
    chosen = one_image_each(cell.held_out_patients.numpy(), np.random.default_rng(seed))
    held_out = isolation(cell.held_out)[torch.from_numpy(chosen)] < NEAR_COPY
    train = isolation(cell.train) < NEAR_COPY
    count = int((isolation(cell.synthetic) < NEAR_COPY).sum())
    base = int(held_out.sum()) + int(train.sum())
    trials = held_out.numel() + max(1, train.numel() // 2)
    p = fisher_greater(count, int(cell.synthetic.distance.shape[0]), min(base, trials), trials)
    return NearCopies(count, base, p)


def identical(synthetic: AuditedGroup, train: AuditedGroup) -> int:
    """Synthetic images whose 8-bit pixels equal a training image's; constant images do not count."""
    known = set(pixels(train.images)) - {b""}
    return sum(image in known for image in pixels(synthetic.images))


def _values(cell: Cell, found: Suspects, alpha: float) -> tuple[Value, ...]:
    n, k = found.flagged.numel(), int(found.flagged.sum())
    least = smallest_significant(n, found.base, found.base_patients, alpha)
    too_few = None if cell.judged else "too few patients for a test"
    return (
        Value.of(
            "suspected copies, share of synthetic images", k / n, *clopper_pearson(k, n, alpha), too_few
        ),
        Value.of(
            "held-out patients below the same threshold",
            found.base / found.base_patients,
            *clopper_pearson(found.base, found.base_patients, alpha),
            "one image a patient",
        ),
        Value.of(
            "training patients nearest to a suspected copy",
            found.train_patients / cell.train_patients,
            note=f"{found.train_patients} of {cell.train_patients}",
        ),
        Value.of("threshold (isolation)", found.tau),
        Value.of("p, copies beyond held-out (Fisher, uncorrected)", found.p),
        Value.of(
            "smallest detectable share of suspected copies",
            None if least is None else least / n,
            note="no share could be told from chance" if least is None else "before correction",
        ),
    )


def copy_detection(
    cells: Sequence[Cell], cohorts: Sequence[AuditedSite], synthetic: AuditedGroup, alpha: float, seed: int
) -> Undecided:
    """The audit row; the first cell is the pooled one.

    Args:
        cells: from `comparison.compare`.
        cohorts: the sites, for the comparison of pixels.
        synthetic: the release.
        alpha: 1 - confidence.
        seed: of the choice of one image a held-out patient.
    """
    pooled, *by_site = cells
    found = [suspects(cell, seed) for cell in cells]
    near = near_copies(pooled, seed)
    train = join([cohort.train for cohort in cohorts])
    same = identical(synthetic, train)
    same_held_out = identical(join([cohort.held_out for cohort in cohorts]), train)

    hypotheses = []
    findings = []
    for cell, suspected in zip(cells, found, strict=True):
        if cell.judged:
            hypotheses.append(
                Hypothesis(
                    suspected.p,
                    Verdict.FAIL,
                    f"{int(suspected.flagged.sum())} of {synthetic.n_images} synthetic images are nearer to "
                    f"one training patient of {cell.name} than held-out patients are",
                )
            )
    if pooled.judged:
        sentence = (
            f"{near.count} of {synthetic.n_images} synthetic images are near copies of a training patient"
        )
        hypotheses.append(Hypothesis(near.p, Verdict.FAIL, sentence))
        if near.count and not near.base:
            findings.append(
                _found(Verdict.REVIEW, f"{sentence}, and no two patients are that near to each other.")
            )
    else:
        findings.append(
            _found(Verdict.INSUFFICIENT, "There are too few patients to tell copies from likeness.")
        )
    if same and not same_held_out:
        findings.insert(
            0, _found(Verdict.FAIL, f"{same} synthetic images are pixel for pixel a training image.")
        )
    elif same:
        p = fisher_greater(same, synthetic.n_images, same_held_out, sum(c.held_out.n_images for c in cohorts))
        findings.append(
            _found(
                Verdict.REVIEW,
                f"{same} synthetic images are pixel for pixel a training image, but so are {same_held_out} "
                "held-out images: look for patients held twice",
            )
        )
        hypotheses.append(
            Hypothesis(p, Verdict.FAIL, f"{same} synthetic images are pixel for pixel a training image")
        )
    row = Row(
        id=CopyDetection.id,
        title=CopyDetection.title,
        group="audit",
        about="Are synthetic images closer to training patients than to held-out patients?",
        values=(
            *_values(pooled, found[0], alpha),
            Value.of("copies pixel for pixel", same, note=f"{same_held_out} among held-out images"),
            Value.of(
                f"near copies (isolation below {NEAR_COPY:g})",
                near.count,
                note=f"{near.base} real patients are as near to another",
            ),
            Value.of("p, near copies beyond real patients (Fisher, uncorrected)", near.p),
        ),
        per_site=tuple(
            SitePart(site=cell.name, values=_values(cell, suspected, alpha))
            for cell, suspected in zip(by_site, found[1:], strict=True)
        ),
        n={
            "train_patients": pooled.train_patients,
            "held_out_patients": pooled.n_held_out,
            "synthetic_images": synthetic.n_images,
        },
        findings=tuple(findings),
    )
    calm = "Synthetic images are no nearer to single training patients than held-out patients are."
    return Undecided(row, calm, tuple(hypotheses))


def _found(verdict: Verdict, sentence: str) -> Finding:
    return Finding(verdict=verdict, sentence=sentence)


@dataclass(frozen=True)
class CopyDetection(Measure):
    """Copy detection in thumbnails' features."""

    id = "copy-detection"
    title = "Copy detection"
    order = 1
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """One row."""
        cells = compared(real, made, self.options.minimum_patients, seed)
        yield copy_detection(cells, usable(real), release_group(real, made), self.options.alpha, seed)
