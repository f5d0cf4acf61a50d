"""Who is near whom: the distances that the audits of the release share, pooled and for each site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.audited import AuditedGroup, AuditedSite, join, release_group, usable
from fedgen.evidence.audit.drawn_samples import Samples
from fedgen.evidence.audit.nearest import Nearest, merge, nearest_patients
from fedgen.evidence.measure import Real
from fedgen_privacy.statistics.patients import one_image_each

#: training patients whose own nearest neighbours are looked up, at most
SAMPLED_PATIENTS = 2000

POOLED = "all sites"


@dataclass(frozen=True)
class Cell:
    """Distances within one site, or over all sites.

    Attributes:
        name: the site, or `POOLED`.
        judged: whether there are enough patients for a test.
        train_patients: number of training patients.
        held_out_patients: (h,) patient number of each held-out image.
        synthetic: each synthetic image to the training patients.
        held_out: each held-out image to the training patients, who are all other people.
        train: one image of each (sampled) training patient to the OTHER training patients.
        to_held_out: each synthetic image to the nearest held-out patient.
    """

    name: str
    judged: bool
    train_patients: int
    held_out_patients: Tensor
    synthetic: Nearest
    held_out: Nearest
    train: Nearest
    to_held_out: Nearest

    @property
    def n_held_out(self) -> int:
        """Number of held-out patients."""
        return int(torch.unique(self.held_out_patients).numel())


def _against(
    queries: AuditedGroup, references: Sequence[AuditedGroup], *, own: Tensor | None = None
) -> tuple[list[Nearest], Nearest]:
    each = [
        nearest_patients(queries.features, queries.mirrors, to.features, to.patients, own=own)
        for to in references
    ]
    return each, merge(each, [to.n_images for to in references])


def compare(
    cohorts: Sequence[AuditedSite], synthetic: AuditedGroup, minimum_patients: int, seed: int
) -> tuple[Cell, ...]:
    """The pooled cell, then one for each site that has training and held-out images; a single site is the pool.

    Args:
        cohorts: the sites; at least one has training and held-out images.
        synthetic: the release; at least one image.
        minimum_patients: below this on either side a cell is not judged.
        seed: of the choice of one image a training patient.
    """
    present = [cohort for cohort in cohorts if cohort.train.n_images and cohort.held_out.n_images]
    trains = [cohort.train for cohort in present]
    helds = [cohort.held_out for cohort in present]
    held_out, train = join(helds), join(trains)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(one_image_each(train.patients.numpy(), rng))[:SAMPLED_PATIENTS]
    sample = train.rows(torch.from_numpy(chosen))

    synthetic_each, synthetic_all = _against(synthetic, trains)
    held_each, held_all = _against(held_out, trains)
    sample_each, sample_all = _against(sample, trains, own=sample.patients)
    to_held_each, to_held_all = _against(synthetic, helds)
    cells = [
        Cell(
            name=POOLED if len(present) > 1 else present[0].site,
            judged=min(train.n_patients, held_out.n_patients) >= max(3, minimum_patients),
            train_patients=train.n_patients,
            held_out_patients=held_out.patients,
            synthetic=synthetic_all,
            held_out=held_all,
            train=sample_all,
            to_held_out=to_held_all,
        )
    ]
    # The same cell twice would put every test twice into the correction for their number.
    for index, cohort in enumerate(present if len(present) > 1 else ()):
        of_site = torch.isin(held_out.patients, cohort.held_out.patients)
        in_sample = torch.isin(sample.patients, cohort.train.patients)
        cells.append(
            Cell(
                name=cohort.site,
                judged=cohort.judged(minimum_patients),
                train_patients=cohort.train.n_patients,
                held_out_patients=cohort.held_out.patients,
                synthetic=synthetic_each[index],
                held_out=held_each[index].rows(of_site),
                train=sample_each[index].rows(in_sample),
                to_held_out=to_held_each[index],
            )
        )
    return tuple(cells)


def cell_of(samples: Samples, seed: int) -> Cell:
    """The one cell of samples whose sites are taken together, made once."""
    return samples.once("cell", lambda: compare([samples.together], samples.synthetic, 3, seed)[0])


def compared(real: Real, made: LabelledImages, minimum_patients: int, seed: int) -> tuple[Cell, ...]:
    """`compare` of the sites that have training and held-out patients, made once."""
    return real.once(
        ("cells", made, minimum_patients, seed),
        lambda: compare(usable(real), release_group(real, made), minimum_patients, seed),
    )
