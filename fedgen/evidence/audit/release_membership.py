"""Membership inference by an attacker who has the release only (GAN-Leaks, Chen et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.attacks import release_attack
from fedgen.evidence.audit.audited import release_group, usable
from fedgen.evidence.audit.membership import membership, rules, why_invalid
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Undecided
from fedgen.study.audit_section import AuditSection


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
        if model is None:
            raise ValueError("an audit needs the claim of the model's training")
        yield membership(
            self.id,
            self.title,
            "Can an attacker with the synthetic images alone tell training patients from held-out ones?",
            release_attack(usable(real), release_group(real, made)),
            rules(self.options, model, seed),
            invalid=why_invalid(real, self.options, seed),
        )
