"""The loss attack against models that have not seen the patient (Carlini et al. 2022; Zarifzadeh et al. 2024, offline).

A site trains pairs of models on halves of its own training and held-out patients. A patient's score is the target's
less the mean of those references that have not seen her, which takes away how simple her image is. RMIA then asks how
many patients of a population lie below that; its answer is the same order, and so the same curve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.audit.attacks import asked
from fedgen.evidence.audit.audited import usable
from fedgen.evidence.audit.membership import Scores, membership, rules, why_invalid
from fedgen.evidence.audit.references import Reference, pair_of
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.open_model import OpenModel
from fedgen.evidence.verdict import Undecided
from fedgen.study.audit_section import AuditSection

_CHUNK = 256


def unseen_scores(references: list[Reference], data: SiteData) -> NDArray[np.float64]:
    """Mean loss score of each of a site's images by the references that have not seen its patient, (n,)."""
    total, count = np.zeros(data.n_images), np.zeros(data.n_images)
    for reference in references:
        score = reference.model.attacks()["loss"]
        rows = torch.arange(data.n_images).split(_CHUNK)
        signs = torch.cat(
            [score(data.only(part)).double().reshape(len(part), -1).mean(dim=1) for part in rows]
        )
        unseen = np.isin(data.patients.numpy(), list(reference.unseen))
        total[unseen] += signs.numpy()[unseen]
        count += unseen
    return np.asarray(total / np.maximum(count, 1))


@dataclass(frozen=True)
class ReferenceModels(Measure):
    """One row, where the study asks for it (`audit.reference_models`)."""

    id = "reference-models"
    title = "Membership inference by reference models"
    order = 9
    of_images = False
    of_model = True
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """One row or none.

        Raises:
            DataError: a score of the model is not finite.
        """
        if not self.options.reference_models or model is None or model.inside is None:
            return
        found = [self._against(real, index, model, model.inside, seed) for index in range(len(usable(real)))]
        yield membership(
            self.id,
            self.title,
            f"Can an attacker with the model and {self.options.reference_models} others tell training patients?",
            found,
            rules(self.options, model, seed),
            invalid=why_invalid(real, self.options, seed),
        )

    def _against(self, real: Real, index: int, model: AuditedModel, inside: OpenModel, seed: int) -> Scores:
        signs = asked(real, model.attacks["loss"], seed)[index]
        (data,) = (site for site in real.sites if site.site == signs.cohort.site)
        references = [
            reference
            for number in range(self.options.reference_models // 2)
            for reference in pair_of(inside, data, number, seed)
        ]
        own = signs.scores()
        usual = [
            unseen_scores(references, data.only(data.parts == int(part))) for part in (Part.TRAIN, Part.AUDIT)
        ]
        return Scores(
            own.site,
            own.train - usual[0],
            own.train_patients,
            own.held_out - usual[1],
            own.held_out_patients,
        )
