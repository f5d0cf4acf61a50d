"""The Monte-Carlo attack (Hilprecht, Haerterich and Bernau 2019): how many synthetic images lie close to a real one?"""

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

#: Share of held-out patients with a synthetic image in their ball.
QUANTILE = 0.1


def radius(to_synthetic: Tensor, patients: Tensor) -> float:
    """Squared radius of the balls: the `QUANTILE` of the held-out patients' distances to their nearest synthetic image.

    A quantile heuristic as in the paper (section 5.1), fixed by the held-out patients alone: the attacker needs no
    member to choose it, and among them the share with a synthetic image in their ball is known beforehand.

    Args:
        to_synthetic: (h, n) squared distances of held-out images.
        patients: (h,) their patients.
    """
    _, owner = torch.unique(patients, return_inverse=True)
    nearest = torch.full((int(owner.max()) + 1,), math.inf, dtype=to_synthetic.dtype)
    nearest = nearest.scatter_reduce(0, owner, to_synthetic.amin(1), "amin")
    rank = max(1, math.ceil(QUANTILE * nearest.numel()))
    return float(nearest.sort().values[rank - 1])


def in_ball(samples: Samples, space: str) -> tuple[Tensor, Tensor]:
    """Share of synthetic images in the ball around each training and each held-out image; equation 4 of the paper."""
    sides, synthetic = samples.together, samples.synthetic.spaces[space]
    train = squared_distances(sides.train.spaces[space], synthetic)
    held_out = squared_distances(sides.held_out.spaces[space], synthetic)
    within = radius(held_out, sides.held_out.patients)
    return (train <= within).double().mean(1), (held_out <= within).double().mean(1)


@dataclass(frozen=True)
class MonteCarlo(Measure):
    """Shares of synthetic images in balls, in each feature space."""

    id = "monte-carlo"
    title = "Monte-Carlo membership inference"
    order = 6
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
            "Do more synthetic images lie close to a training than to a held-out patient (Hilprecht et al. 2019)?",
            in_ball,
            SampleQuestion.of(real, made, model, self.options, seed),
        )
