"""The data-copying test C_T (Meehan, Chaudhuri and Dasgupta 2020), with a control for smooth generators.

C_T compares the distance to the training set of synthetic with that of held-out images. It also turns
negative when a generator is merely smooth or of low diversity, since a blurred image is near to everyone. So
copying is concluded only where the synthetic images are ALSO nearer to training than to held-out patients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.comparison import Cell, cell_of, compared
from fedgen.evidence.audit.drawn_samples import Samples
from fedgen.evidence.audit.planted_controls import beside_controls
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Undecided
from fedgen.run.row import Finding, Row, SitePart, Value, Verdict
from fedgen.study.audit_section import AuditSection
from fedgen_privacy.statistics.auc import auc, standard_error
from fedgen_privacy.statistics.patients import exchanged

#: below this z a cell is flagged
Z_FAIL = -3.0


@dataclass(frozen=True)
class Copying:
    """C_T of one cell.

    Attributes:
        z: standard normal where synthetic and held-out images are as near to the training set; negative where
            synthetic images are nearer.
        share: synthetic images whose nearest real patient is a training patient.
        expected: the same if train and held-out patients were exchanged at random.
        p: permutation p-value against "no nearer to training than to held-out patients".
    """

    z: float
    share: float
    expected: float
    p: float


def c_t(cell: Cell) -> float:
    """z of C_T, with the patient as the unit on the held-out side.

    The standard error is Obuchowski's for images clustered in patients, and at least the null one with one
    image a patient, so that full separation gives a finite, conservative z.
    """
    synthetic = cell.synthetic.distance[:, 0].double().numpy()
    held_out = cell.held_out.distance[:, 0].double().numpy()
    farther = auc(synthetic, held_out)
    clustered = standard_error(
        synthetic, held_out, non_member_clusters=cell.held_out_patients.numpy().astype(np.int64)
    )
    n, m = synthetic.size, cell.n_held_out
    null = math.sqrt((n + m + 1) / (12 * n * m))
    return (farther - 0.5) / max(clustered, null) if math.isfinite(clustered) else 0.0


def nearer_to_train(cell: Cell, permutations: int, seed: int) -> tuple[float, float, float]:
    """(share, expected share, p) of synthetic images whose nearest real patient is a training patient.

    A permutation test over patients (`exchanged`).
    """
    of_train = (cell.synthetic.distance[:, 0] < cell.to_held_out.distance[:, 0]).numpy()
    nearest = np.where(of_train, cell.synthetic.patient[:, 0].numpy(), cell.to_held_out.patient[:, 0].numpy())
    people = (cell.train_patients, cell.n_held_out)
    share, expected, p = exchanged(nearest, of_train, *people, permutations, np.random.default_rng(seed))
    return share or 0.0, expected, p


def copying(cell: Cell, permutations: int, seed: int) -> Copying:
    """Both statistics of a cell."""
    return Copying(c_t(cell), *nearer_to_train(cell, permutations, seed))


def _values(cell: Cell, found: Copying) -> tuple[Value, ...]:
    return (
        Value.of("C_T z", found.z, note=None if cell.judged else "too few patients for a test"),
        Value.of("synthetic images nearer to a training than to a held-out patient", found.share),
        Value.of("the same if train and held-out were exchanged at random", found.expected),
        Value.of("p, nearer to training patients (permutation of patients, uncorrected)", found.p),
    )


def data_copying(cells: Sequence[Cell], alpha: float, permutations: int, seed: int) -> Undecided:
    """The audit row; the first cell is the pooled one."""
    pooled, *by_site = cells
    found = [copying(cell, permutations, seed) for cell in cells]
    findings = []
    calm = "Synthetic images are no nearer to the training set than held-out images are."
    for cell, result in zip(cells, found, strict=True):
        if not cell.judged or result.z >= Z_FAIL:
            continue
        if result.p <= alpha:
            findings.append(
                Finding(
                    verdict=Verdict.FAIL,
                    sentence=f"Synthetic images are nearer to the training set of {cell.name} than held-out images "
                    f"are (z = {result.z:.1f}), and nearer to training than to held-out patients.",
                )
            )
        else:
            calm = (
                f"Synthetic images are nearer to the training set of {cell.name} than held-out images are "
                f"(z = {result.z:.1f}), but as near to held-out patients: smooth or alike, not copied."
            )
    if not pooled.judged:
        findings.append(
            Finding(verdict=Verdict.INSUFFICIENT, sentence="There are too few patients for the test.")
        )
    row = Row(
        id=DataCopying.id,
        title=DataCopying.title,
        group="audit",
        about="Are synthetic images nearer to the training set than held-out images are (Meehan et al. 2020)?",
        values=_values(pooled, found[0]),
        per_site=tuple(
            SitePart(site=cell.name, values=_values(cell, each))
            for cell, each in zip(by_site, found[1:], strict=True)
        ),
        n={
            "train_patients": pooled.train_patients,
            "held_out_patients": pooled.n_held_out,
            "synthetic_images": int(pooled.synthetic.distance.shape[0]),
        },
        findings=tuple(findings),
    )
    return Undecided(row, calm)


@dataclass(frozen=True)
class DataCopying(Measure):
    """The test C_T with its control."""

    id = "data-copying"
    title = "Data-copying test C_T"
    order = 2
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """One row."""
        options = self.options
        cells = compared(real, made, options.minimum_patients, seed)
        row = data_copying(cells, options.alpha, options.bootstrap, seed)

        def p(samples: Samples) -> float:
            found = copying(cell_of(samples, seed), options.bootstrap, seed)
            return found.p if found.z < Z_FAIL else 1.0

        yield beside_controls(row, p, real, made, options.alpha, seed) if cells[0].judged else row
