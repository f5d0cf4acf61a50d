"""Membership inference by an attacker who has the release only (GAN-Leaks, Chen et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.attacks import release_attack
from fedgen.evidence.audit.audited import release_group, usable
from fedgen.evidence.audit.drawn_samples import Samples
from fedgen.evidence.audit.nearest import nearest_patients
from fedgen.evidence.audit.sample_membership import SampleQuestion, controlled
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Undecided
from fedgen.study.audit_section import AuditSection


def nearness(samples: Samples) -> tuple[Tensor, Tensor]:
    """The same scores of samples: minus the distance to the nearest synthetic image."""
    sides, made = samples.together, samples.synthetic
    each = torch.arange(made.n_images)
    train, held_out = (
        -nearest_patients(side.features, side.mirrors, made.features, each, depth=1).distance[:, 0]
        for side in (sides.train, sides.held_out)
    )
    return train, held_out


@dataclass(frozen=True)
class ReleaseMembership(Measure):
    """Minus the distance to the nearest synthetic image."""

    id = "release-membership"
    title = "Membership inference with the release"
    order = 5
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """One row.

        Raises:
            ValueError: no model, and so no claim to judge by.
        """
        yield controlled(
            self.id,
            self.title,
            "Can an attacker with the synthetic images alone tell training patients from held-out ones?",
            release_attack(usable(real), release_group(real, made)),
            nearness,
            SampleQuestion.of(real, made, model, self.options, seed),
        )
