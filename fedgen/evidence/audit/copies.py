"""Copy detection: is a synthetic image nearer to ONE training patient than any other person is?

`suspects` says which image is a suspected copy, by a threshold that held-out patients of the same site set, and
`copy_list` names them for the site alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.audited import AuditedGroup, AuditedSite, join, release_group, usable
from fedgen.evidence.audit.comparison import Cell, cell_of, compared
from fedgen.evidence.audit.copy_list import copies_of
from fedgen.evidence.audit.drawn_samples import Samples
from fedgen.evidence.audit.features import pixels
from fedgen.evidence.audit.planted_controls import beside_controls
from fedgen.evidence.audit.suspects import NEAR_COPY, Suspects, near_copies, suspects
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Hypothesis, Undecided
from fedgen.run.row import Finding, Row, SitePart, Value, Verdict
from fedgen.run.site_only import SiteOnly
from fedgen.study.audit_section import AuditSection
from fedgen_privacy.statistics.multiplicity import worse_of
from fedgen_privacy.statistics.proportions import clopper_pearson, fisher_greater, smallest_significant


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
        Value.of("suspected copies beyond likeness, share of synthetic images", found.beyond),
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


def _by_own_threshold(cells: Sequence[Cell], found: Sequence[Suspects]) -> tuple[Value, ...]:
    if not cells:
        return ()
    flagged = torch.stack([each.flagged for each in found]).any(0)
    return (
        Value.of(
            "suspected copies by the threshold of a site's own held-out patients",
            float(flagged.double().mean()),
            note=f"of any of {len(cells)} sites, each of which suspects some of any release",
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
            Value.of(
                "training patients memorised, share of them",
                near.patients / pooled.train_patients,
                *clopper_pearson(near.patients, pooled.train_patients, alpha),
                f"{near.patients} of {pooled.train_patients} have a near copy in the release",
            ),
            *_by_own_threshold(by_site, found[1:]),
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
    ) -> Iterator[Undecided | SiteOnly]:
        """One row, and the copies by number."""
        options, synthetic = self.options, release_group(real, made)
        cells = compared(real, made, options.minimum_patients, seed)
        yield copies_of(real, cells, synthetic, seed)
        row = copy_detection(cells, usable(real), synthetic, options.alpha, seed)

        def p(samples: Samples) -> float:
            cell = cell_of(samples, seed)
            return worse_of(suspects(cell, seed).p, near_copies(cell, seed).p)

        yield beside_controls(row, p, real, made, options.alpha, seed) if cells[0].judged else row
