"""A site's assessment where it is paid for: one charge, one noised sum kept on disk, and rows of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.errors import DataError, PrivacyRefusedError
from fedgen.evidence.leave import leave_noised
from fedgen.evidence.noised.block import NoisedBlock, Sums
from fedgen.evidence.noised.noised_rows import (
    attacked,
    audited_privately,
    blocks,
    evaluated_privately,
    rows_of,
    rows_of_all,
)
from fedgen.evidence.noised.noised_sum import noised_sum, opened
from fedgen.federation.site.charging import Charging
from fedgen.pipeline.model import audited_model, trained_networks
from fedgen.pipeline.site_numbers import released
from fedgen.protocol.messages import Question
from fedgen.recipe import Recipe
from fedgen.run.atomic import write_atomic
from fedgen.run.evidence_files import Audited, AuditNumbers, Evaluated, EvaluationNumbers
from fedgen.schema.section import Section
from fedgen_privacy.random import SecretRandom

#: The family's attack whose score is told.
ATTACK = "loss"


class KeptSum(Section):
    """`noised.json`: a site's noised sum.

    Attributes:
        question: sha256 of the question that it answers.
        noise_multiplier: sigma.
        total: (d,) numbers.
    """

    question: str
    noise_multiplier: float
    total: tuple[float, ...]


@dataclass(frozen=True)
class PaidAssessment:
    """One site's paid answer to one question.

    Attributes:
        recipe: of the study, with `evidence.privacy`.
        data: all parts of the site's data.
        task: the question.
        epsilon: what its training patients were promised, this answer included.
        path: file of the kept sum.
        charging: what pays.
        device: where the model runs; None for the study's.
    """

    recipe: Recipe
    data: SiteData
    task: Question
    epsilon: float
    path: Path
    charging: Charging
    device: str | None = None

    def audit(self) -> AuditNumbers:
        """The audit from the kept sum.

        Raises:
            PrivacyRefusedError: as `_sums`.
            DataError: the site's images do not fit, or the ledger cannot be written.
        """
        study, patients = self.recipe.study, self.data.part(Part.TRAIN).n_patients
        rows = leave_noised(rows_of(self._blocks, self._sums(), "audit"))
        told = audited_privately(study, rows, self.epsilon, {"train_patients": patients})
        return AuditNumbers(**dict(told))

    def evaluation(self) -> EvaluationNumbers:
        """The evaluation from the kept sum; raises as `audit`."""
        rows = leave_noised(rows_of(self._blocks, self._sums(), "evaluation"))
        return EvaluationNumbers(**dict(evaluated_privately(self.recipe.study, rows)))

    @cached_property
    def _blocks(self) -> tuple[NoisedBlock, ...]:
        return blocks(self.recipe.study, self._made, self.epsilon)

    @cached_property
    def _made(self) -> LabelledImages:
        made = released(self.task)
        if made is None:
            raise PrivacyRefusedError("Only released images are assessed with noise.")
        return made

    def _sums(self) -> Mapping[str, Sums]:
        """What was summed, once: charged before a patient is read, and kept before anything of it can leave.

        Raises:
            PrivacyRefusedError: the kept sum is damaged or answers another question, or the budget does not cover it.
        """
        kept = self._kept()
        return opened(self._blocks, kept.total, kept.noise_multiplier)

    def _kept(self) -> KeptSum:
        spend = self.recipe.mechanism.evidence
        assert spend is not None
        if not self.path.exists():
            # Whatever can fail without a patient fails before the charge.
            asked = self._asking()
            round = self.recipe.rounds + 1
            self.charging.charge(round, self.task.sha256, spend, kept=False)
            total = noised_sum(asked, self.data, spend.noise_multiplier, SecretRandom())
            kept = KeptSum(
                question=self.task.sha256,
                noise_multiplier=spend.noise_multiplier,
                total=tuple(float(value) for value in total),
            )
            write_atomic(self.path, kept.model_dump_json().encode())
        try:
            found = KeptSum.model_validate_json(self.path.read_bytes())
        except (OSError, ValueError) as error:
            # Written atomically, so it was damaged later, when its numbers may have left already.
            raise PrivacyRefusedError(
                f"{self.path} is damaged ({type(error).__name__}), and noise is not drawn twice: restore the file."
            ) from None
        if found.question != self.task.sha256:
            raise PrivacyRefusedError(
                f"{self.path} answers another question, and one is answered a study: restore the file."
            )
        return found

    def _asking(self) -> tuple[NoisedBlock, ...]:
        recipe, data, made = self.recipe, self.data, self._made
        device = self.device or recipe.study.training.device
        if data.classes != recipe.study.data.classes or data.images.shape[1:] != made.images.shape[1:]:
            raise DataError(
                f"Site {data.site} has other classes, or images of another size, than the release: prepare its data "
                "again with this study."
            )
        networks = trained_networks(recipe, self.task.model, device)
        attacks = audited_model(recipe, networks, device, self.epsilon).attacks
        return attacked(self._blocks, attacks[ATTACK], recipe.study, made)


def joined_privately(
    recipe: Recipe,
    task: Question,
    audits: Mapping[str, AuditNumbers],
    evaluations: Mapping[str, EvaluationNumbers],
) -> tuple[Audited, Evaluated] | None:
    """Audit and evaluation over all sites, from their noised sums; None where the study pays for none.

    Args:
        recipe: of the study.
        task: the question that was asked.
        audits, evaluations: what the sites sent, by name.
    """
    spend, made = recipe.mechanism.evidence, released(task)
    if spend is None or made is None:
        return None
    study, sigma = recipe.study, spend.noise_multiplier
    claims = [each.claim.epsilon for each in audits.values() if each.claim.epsilon is not None]
    epsilon = max(claims, default=study.privacy.epsilon)
    asked = blocks(study, made, epsilon)
    patients = sum(each.n.get("train_patients", 0) for each in audits.values())
    return (
        audited_privately(
            study,
            rows_of_all(asked, list(audits.values()), sigma, "audit"),
            epsilon,
            {"train_patients": patients},
        ),
        evaluated_privately(study, rows_of_all(asked, list(evaluations.values()), sigma, "evaluation")),
    )
