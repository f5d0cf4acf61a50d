"""Membership inference by an attacker who has the model: the loss attack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.attacks import loss_attack
from fedgen.evidence.audit.audited import usable
from fedgen.evidence.audit.membership import membership, rules, why_invalid
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Undecided
from fedgen.run.row import Finding, Row, Verdict
from fedgen.study.audit_section import AuditSection

ABOUT = "Can an attacker with the model tell training patients from held-out ones?"


@dataclass(frozen=True)
class ModelMembership(Measure):
    """The loss attack (Yeom et al. 2018)."""

    id = "model-membership"
    title = "Membership inference with the model"
    order = 4
    of_images = False
    of_model = True
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row | Undecided]:
        """One row; REVIEW where there is no model to attack.

        Raises:
            DataError: a score of the model is not finite.
        """
        sites = usable(real)
        if model is None or model.score is None:
            reason = "No model was given, so membership inference with the model was not tested."
            yield Row(
                id=self.id,
                title=self.title,
                group="audit",
                about=ABOUT,
                n={
                    "train_patients": sum(site.train.n_patients for site in sites),
                    "held_out_patients": sum(site.held_out.n_patients for site in sites),
                },
                findings=(Finding(verdict=Verdict.REVIEW, sentence=reason),),
            )
            return
        yield membership(
            self.id,
            self.title,
            ABOUT,
            loss_attack(model.score, sites, seed),
            rules(self.options, model, seed),
            invalid=why_invalid(real, self.options, seed),
        )
