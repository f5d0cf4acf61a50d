"""What a site does after training: audit and evaluate the release on its own patients, once, and send numbers.

The numbers depend on patients, and no epsilon covers them but where the study pays for them (`evidence.privacy`). So a
site answers ONE question a study, about one model and one release; asked again it sends the very numbers it kept, so
that nobody can average their chance away or choose the next question by the last answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import TypeAdapter

from fedgen.data.site_data import SiteData
from fedgen.errors import FederationError, PrivacyRefusedError
from fedgen.evidence.assess import Progress, silent
from fedgen.evidence.side_by_side import side_by_side
from fedgen.federation.site.charging import Account, Charging
from fedgen.federation.site.withdrawn import withdrawn_so_far
from fedgen.pipeline.kept_release import keep_release
from fedgen.pipeline.noised_assessment import PaidAssessment
from fedgen.pipeline.site_numbers import NOBODY, Aside, audit_numbers, evaluation_numbers
from fedgen.protocol.messages import Assessment, AssessModel, Question
from fedgen.protocol.receipt import SignedReceipt, SiteReceipt, numbers_sha256, sign_receipt, spans
from fedgen.protocol.release import check_pixels
from fedgen.recipe import Recipe
from fedgen.run.atomic import write_atomic
from fedgen.run.evidence_files import AuditNumbers, EvaluationNumbers
from fedgen.run.lock import held
from fedgen.run.site_only import write_site_only
from fedgen.synthesis.counts import class_counts
from fedgen.training.canary_coins import kept_canaries
from fedgen.training.canary_images import Canaries
from fedgen.training.outbox import Outbox
from fedgen.training.vector import check_vector, vector_sha256
from fedgen_privacy.ledger import Ledger
from fedgen_privacy.secagg import Identity

T = TypeVar("T")
N = TypeVar("N", AuditNumbers, EvaluationNumbers)
#: Of the audit, and of the evaluation; None of what the policy withholds.
Numbers = tuple[AuditNumbers | None, EvaluationNumbers | None]

AUDIT, EVALUATION, RECEIPT = "audit", "evaluation", "receipt"
#: Folder of what a site was asked and answered, in its folder of the study.
ANSWERED = "assessment"
_QUESTION = TypeAdapter(dict[str, str])


def assess(
    recipe: Recipe,
    data: SiteData,
    epsilon: float | None,
    task: Question,
    metrics: frozenset[str],
    device: str | None = None,
    aside: Aside = NOBODY,
) -> Assessment:
    """Audit and evaluate a release on one site's patients; what the policy withholds is not even computed.

    Args:
        recipe: of the study as the site approved it.
        data: all parts of the site's data.
        epsilon: what the site's training patients were promised in this study; None without privacy.
        task: the question.
        metrics: what the site's policy lets leave: `audit`, `evaluation`.
        device: the site's own torch device; None for the study's.
        aside: who is told of it at the site.

    Raises:
        FederationError, PrivacyRefusedError: the question is not one of this study (`check_question`).
        DataError: the site's images do not fit the study.
    """
    check_question(recipe, task)
    return Assessment(
        site=data.site,
        question_sha256=task.sha256,
        audit=audit_numbers(recipe, data, epsilon, task, device, aside) if AUDIT in metrics else None,
        evaluation=evaluation_numbers(recipe, data, task, device, aside) if EVALUATION in metrics else None,
    )


@dataclass(frozen=True)
class Assessor:
    """A site's one answer of a study, kept on its disk.

    Attributes:
        recipe: of the study as the site approved it.
        data: all parts of the site's data.
        folder: the site's folder of the study, which also holds the outbox.
        metrics: what the site's policy lets leave now; what it withholds is None in the answer, kept or not.
        device: the site's own torch device; None for the study's.
        progress: told the title of each row.
        identity: signs the receipt; without one there is none.
        account: of the cohort's ledger; None where only this study uses these patients, in the folder's own.
    """

    recipe: Recipe
    data: SiteData
    folder: Path
    metrics: frozenset[str]
    device: str | None = None
    progress: Progress = silent
    identity: Identity | None = None
    account: Account | None = None

    def __call__(self, task: Question) -> Assessment:
        """Answer the question, from disk where it was answered before.

        Raises:
            PrivacyRefusedError: another question was asked before, or the site trained in no round.
            FederationError, DataError: as `assess`; nothing is kept then.
        """
        check_question(self.recipe, task)
        outbox = Outbox(self.folder / "outbox")
        if not any(outbox.holds(round) for round in range(1, self.recipe.rounds + 1)):
            raise PrivacyRefusedError(
                f"Site {self.data.site} was asked to assess a model that it did not help to train."
            )
        with held(self.folder / "assessment.lock"):
            self._bind(task)
            reading, seed = self.recipe.study.evaluation.reading, self.recipe.study.study.seed
            keep_release(self.folder / ANSWERED, task, reading.images, seed)
            audit, evaluation = self._paid(task) or self._unpaid(task)
            return Assessment(
                site=self.data.site,
                question_sha256=task.sha256,
                audit=audit,
                evaluation=evaluation,
                receipt=self._receipt(task, audit, evaluation),
            )

    def _receipt(
        self, task: Question, audit: AuditNumbers | None, evaluation: EvaluationNumbers | None
    ) -> SignedReceipt | None:
        """Not kept: it is of what leaves now, and the same facts have the same bytes."""
        if self.identity is None or RECEIPT not in self.metrics:
            return None
        rows = [row for row in Ledger(self._account.ledger) if row.study == self.recipe.sha256]
        promise = self.recipe.mechanism.statement([row.spend for row in rows if row.spend is not None])
        return sign_receipt(
            SiteReceipt(
                site=self.data.site,
                study_sha256=task.study_sha256,
                model_sha256=task.model_sha256,
                release_sha256=task.release_sha256,
                question_sha256=task.sha256,
                # What comes after the last round is the evidence, where that is paid for.
                rounds=spans(row.round for row in rows if row.round <= self.recipe.rounds),
                epsilon=promise.epsilon,
                delta=None if promise.epsilon is None else self.recipe.study.privacy.delta,
                audit_sha256=numbers_sha256(audit),
                evaluation_sha256=numbers_sha256(evaluation),
                withdrawn=withdrawn_so_far(self.folder),
            ),
            self.identity,
        )

    def _unpaid(self, task: Question) -> Numbers:
        def audit(told: Progress) -> AuditNumbers:
            aside = self._aside._replace(progress=told)
            return audit_numbers(
                self.recipe, self.data, self._epsilon(), task, self.device, aside, self._canaries()
            )

        def evaluation(told: Progress) -> EvaluationNumbers:
            return evaluation_numbers(
                self.recipe, self.data, task, self.device, self._aside._replace(progress=told)
            )

        return side_by_side(
            lambda told: self._kept(AUDIT, AuditNumbers, partial(audit, told)),
            lambda told: self._kept(EVALUATION, EvaluationNumbers, partial(evaluation, told)),
            self.progress,
        )

    def _paid(self, task: Question) -> Numbers | None:
        epsilon = self._epsilon() if self.recipe.mechanism.evidence is not None else None
        if epsilon is None:
            return None
        charging = Charging(self._account, self.recipe.sha256)
        path = self.folder / "assessment" / "noised.json"
        paid = PaidAssessment(self.recipe, self.data, task, epsilon, path, charging, self.device)
        # One after the other: the first charges for both.
        audit = self._kept(AUDIT, AuditNumbers, paid.audit)
        return audit, self._kept(EVALUATION, EvaluationNumbers, paid.evaluation)

    @property
    def _account(self) -> Account:
        return self.account or Account(self.folder / "ledger.jsonl")

    @property
    def _aside(self) -> Aside:
        return Aside(self.progress, partial(write_site_only, self.folder))

    def _bind(self, task: Question) -> None:
        # Before anything is computed: a crash must not leave room for a second question.
        path = _question(self.folder)
        question = {"study": task.study_sha256, "question": task.sha256}
        if not path.exists():
            write_atomic(path, json.dumps(question).encode())
        elif _read(path, _QUESTION.validate_json) != question:
            raise PrivacyRefusedError(
                f"Site {self.data.site} was asked to assess another model or other images of a study for which it "
                "has answered already: one question is answered a study."
            )

    def _kept(self, part: str, form: type[N], compute: Callable[[], N]) -> N | None:
        if part not in self.metrics:
            return None
        path = self.folder / ANSWERED / f"{part}.json"
        if not path.exists():
            write_atomic(path, compute().model_dump_json().encode())
        return _read(path, form.model_validate_json)

    def _canaries(self) -> Canaries | None:
        # The model was trained with them, so they are there or nothing is.
        return kept_canaries(self.recipe.study, self.recipe.sha256, self.data, self.folder, begun=True)

    def _epsilon(self) -> float | None:
        patients = self.data.enrolled_patients
        return self.recipe.mechanism.plan(patients, self.data.site).epsilon


def asked_before(folder: Path) -> str | None:
    """The sha256 of the question that a site has answered or begun to answer; None where it was asked none.

    Raises:
        PrivacyRefusedError: its note of the question is damaged.
    """
    path = _question(folder)
    return _read(path, _QUESTION.validate_json)["question"] if path.exists() else None


def _question(folder: Path) -> Path:
    return folder / ANSWERED / "question.json"


def _read(path: Path, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(path.read_bytes())
    except (OSError, ValueError) as error:
        # Written atomically, so it was damaged later, when its numbers may have left already.
        raise PrivacyRefusedError(
            f"{path} is damaged ({type(error).__name__}), and an assessment is not made twice: restore the file."
        ) from None


def check_question(recipe: Recipe, task: Question) -> None:
    """Refuse what is not the release that the study asks for: its study, model, image size, masks, number, balance.

    Raises:
        PrivacyRefusedError: another study.
        FederationError: anything else, with what is wrong.
    """
    if task.study_sha256 != recipe.sha256:
        raise PrivacyRefusedError("A site was asked to assess a study it does not have.")
    if vector_sha256(task.model) != task.model_sha256:
        raise FederationError("The model that came does not have the hash that came with it.")
    check_vector(task.model, recipe.layout.size)
    study, data = recipe.study, recipe.study.data
    if isinstance(task, AssessModel) != recipe.task.translates:
        what = "a model alone" if isinstance(task, AssessModel) else "images"
        raise FederationError(f"A site was asked to assess {what}, which is not what the study releases.")
    if isinstance(task, AssessModel):
        return
    expected = (study.synthesis.images, *recipe.task.image.shape)
    if tuple(task.images.shape) != expected:
        raise FederationError(
            f"A release of shape {tuple(task.images.shape)} came where the study asks for {expected}: "
            "synthesize it again."
        )
    check_pixels(task.images)
    if (task.masks is None) != (recipe.task.mask is None):
        raise FederationError(
            "A release came with masks, or without, unlike the study's: synthesize it again."
        )
    if task.masks is not None and int(task.masks.max()) > len(data.mask_classes):
        raise FederationError(
            "A release came with masks of more classes than the study has: synthesize it again."
        )
    counts = class_counts(study.synthesis.images, data.classes, study.synthesis.balance)
    found = torch.bincount(task.labels, minlength=len(counts))
    if found.tolist() != counts:
        raise FederationError(
            "A release came with other numbers of each class than the study asks for: synthesize it again."
        )
