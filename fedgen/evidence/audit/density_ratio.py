"""Membership by a ratio of densities: where is the release denser than the patients are? (DOMIAS, van Breugel 2023)

The distance to the nearest synthetic image calls whoever looks like everybody a member. The ratio to the density of
real people does not, and so an attacker who has such people besides the release finds more (van Breugel et al. 2023,
"Membership inference attacks against synthetic data through overfitting detection"). Here the others are all audited
patients but the one that is scored, training and held-out alike: an honest release then gives every patient the same
chance of every score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.drawn_samples import Samples
from fedgen.evidence.audit.sample_membership import SampleQuestion, sample_membership
from fedgen.evidence.audit.spaces import squared_distances
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Undecided
from fedgen.study.audit_section import AuditSection

#: Of a kernel, in distances to the nearest other patient.
WIDTH = 0.5


def log_ratio(real: Tensor, patients: Tensor, synthetic: Tensor) -> Tensor:
    """log p_synthetic(x) - log p_other patients(x) at each real image, (n,) float64.

    Both densities are of Gaussian kernels whose width is `WIDTH` times the distance of x to the nearest image of
    another patient: the kernels' own constants fall out of the ratio, and what is near is near for x. One width for
    all, as by Scott's rule, would see no single copy. 0 where that distance is 0 or nobody else is there.

    Args:
        real: (n, d) features of training and held-out images.
        patients: (n,) their patients.
        synthetic: (m, d) features.
    """
    own = patients[:, None] == patients[None]
    among = squared_distances(real, real).masked_fill_(own, math.inf)
    nearest = among.amin(1, keepdim=True)
    known = torch.isfinite(nearest) & (nearest > 0)
    scale = -2 * WIDTH**2 * torch.where(known, nearest, 1.0)
    others = (~own).sum(1).clamp_min(1).double().log()
    of_release = torch.logsumexp(squared_distances(real, synthetic) / scale, 1) - math.log(len(synthetic))
    of_others = torch.logsumexp(among / scale, 1) - others
    return torch.where(known[:, 0], of_release - of_others, 0.0)


def ratios(samples: Samples, space: str) -> tuple[Tensor, Tensor]:
    """`log_ratio` of the training and of the held-out images."""
    sides = samples.together
    real = torch.cat([sides.train.spaces[space], sides.held_out.spaces[space]])
    patients = torch.cat([sides.train.patients, sides.held_out.patients])
    found = log_ratio(real, patients, samples.synthetic.spaces[space])
    # A copy can be so near, and everybody else so far, that a kernel underflows.
    found = found.clamp(-1e6, 1e6)
    return found[: sides.train.n_images], found[sides.train.n_images :]


@dataclass(frozen=True)
class DensityRatio(Measure):
    """Density of the release over that of other patients, in each feature space."""

    id = "density-ratio"
    title = "Membership inference by density ratio"
    order = 7
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """One row, of all spaces together.

        Raises:
            ValueError: no model, and so no claim to judge by.
        """
        yield sample_membership(
            self.id,
            self.title,
            "Is the release denser around training patients than around held-out ones, compared with other people?",
            ratios,
            SampleQuestion.of(real, made, model, self.options, seed),
        )
