"""Membership inference by an attacker who has the model: each of the family's attacks, a row of its own.

Which attack is strongest is not known beforehand, and to take the one that found most would be to look first. So each
is judged, and the correction for their number, which runs over all audits, is the price (decision 038).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.attacks import asked
from fedgen.evidence.audit.audited import usable
from fedgen.evidence.audit.membership import membership, rules, why_invalid
from fedgen.evidence.audit.worst_patients import worst_patients
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Undecided
from fedgen.run.row import Finding, Row, Verdict
from fedgen.run.site_only import SiteOnly
from fedgen.study.audit_section import AuditSection

ABOUT = "Can an attacker with the model tell training patients from held-out ones?"

#: The attack that has the row's name alone (Yeom et al. 2018).
LOSS = "loss"
#: What an attack goes by, where more is to be said than its name.
BY = {
    LOSS: "It goes by the training's own loss.",
    "steps": "It goes by the error of several exact denoising steps (SecMI, Duan et al. 2023).",
    "reconstruction": "It goes by how an image comes back from its code.",
    "discriminator": "It goes by what the discriminator says (LOGAN, Hayes et al. 2019).",
    "alignment": "It goes by how far the released mean lies where the patient does.",
    "image": "It goes by the image alone, for its mask.",
}


@dataclass(frozen=True)
class ModelMembership(Measure):
    """The attacks that the family of the model knows."""

    id = "model-membership"
    title = "Membership inference with the model"
    order = 4
    of_images = False
    of_model = True
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row | Undecided | SiteOnly]:
        """A row an attack, and at the site who is most exposed; REVIEW where there is no model to attack.

        Raises:
            DataError: a score of the model is not finite.
        """
        if model is None or not model.attacks:
            yield self._without_model(real)
            return
        found = {name: asked(real, score, seed) for name, score in model.attacks.items()}
        for name, sites in found.items():
            yield membership(
                self.id if name == LOSS else f"{self.id}-{name}",
                self.title if name == LOSS else f"{self.title}: {name}",
                f"{ABOUT} {BY.get(name, f'It goes by: {name}.')}",
                [signs.scores() for signs in sites],
                rules(self.options, model, seed),
                invalid=why_invalid(real, self.options, seed),
            )
        yield worst_patients(real, found)

    def _without_model(self, real: Real) -> Row:
        sites = usable(real)
        reason = "No model was given, so membership inference with the model was not tested."
        return Row(
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
