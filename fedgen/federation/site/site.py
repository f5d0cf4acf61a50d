"""A site at work: answers tasks from its own data, under its own ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from fedgen.data.site_data import Part, SiteData
from fedgen.errors import DataError, FedgenError, PrivacyRefusedError
from fedgen.federation.site.charging import Account, Charging
from fedgen.federation.site.log import SiteLog
from fedgen.federation.site.refusals import refusal
from fedgen.federation.site.rounds import Rounds
from fedgen.federation.site.sessions import Holder, Sessions
from fedgen.federation.site.withdrawn import note_withdrawn
from fedgen.mechanisms.contract import AtSite
from fedgen.protocol.messages import (
    Answer,
    Assess,
    Assessment,
    AssessModel,
    Describe,
    MaskedUpdate,
    Question,
    RoundUpdate,
    SecureReply,
    SecureStep,
    SiteDescription,
    Task,
    TrainMasked,
    TrainRound,
)
from fedgen.recipe import Recipe
from fedgen.training.canary_coins import kept_canaries
from fedgen.training.outbox import Outbox, RoundResult
from fedgen.training.training_patients import TrainingPatients
from fedgen.training.vector import vector_sha256
from fedgen_privacy.secagg import Phase


class Site:
    """One site of one study; every job is a part's, and the site only says who does what.

    Args:
        recipe: of the study as the site approved it; one with adapters needs the weights under them.
        data: the site's decoded images.
        folder: what the site keeps of this study: outbox and log, and the ledger where no account is given.
        holder: its sessions; None for a study without secure aggregation.
        account: what pays for it; None where only this study will ever use these patients, as in a simulation.
        assessor: audits and evaluates the finished model on the site's patients; None where nobody will ask.
        device: torch device instead of the study's.
        roster_size: sites that the study's roster has; needed where they make the noise together.
        journal: told what happens; by default it is appended to `log.jsonl` in the folder.

    Raises:
        DataError, PrivacyRefusedError: as `Mechanism.plan`, and as `kept_canaries` where the study asks for canaries.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: SiteData,
        folder: Path,
        holder: Holder | None = None,
        *,
        account: Account | None = None,
        assessor: Callable[[Question], Assessment] | None = None,
        device: str | None = None,
        roster_size: int | None = None,
        journal: Callable[[str, Mapping[str, object]], None] | None = None,
    ) -> None:
        self.name = data.site
        self._recipe = recipe
        self._grid = data.grid
        self._secure = recipe.study.aggregation.secure
        self._assessor = assessor
        self._journal = journal or SiteLog(folder / "log.jsonl")
        self.plan = recipe.mechanism.plan(data.enrolled_patients, self.name, device)
        self._sessions_held = None
        if self._secure and holder is not None:
            self._sessions_held = Sessions(self.name, holder, recipe.rounds)
        self._charging = Charging(account or Account(folder / "ledger.jsonl"), recipe.sha256)
        canaries = None
        if recipe.study.audit.canaries:
            begun = self._charging.begun or Outbox(folder / "outbox").begun
            canaries = kept_canaries(recipe.study, recipe.sha256, data, folder, begun=begun)
        cohort = TrainingPatients(data, recipe.study.data.images_per_patient, recipe.task, canaries)
        here = AtSite(cohort, self.plan, roster_size)
        self._rounds = Rounds(recipe, self.name, here, folder / "outbox", self._charging)
        gone = data.enrolled_patients - data.part(Part.TRAIN).n_patients
        note_withdrawn(folder, gone, self._charging.last_round)

    def answer(self, task: Task) -> Answer:
        """Do a task. Errors become a `Refusal`; their text stays in the site's log.

        Raises:
            Exception: a defect; its text is in the site's log and must not leave the site.
        """
        try:
            asked = task.train.study_sha256 if isinstance(task, TrainMasked) else task.study_sha256
            if asked != self._recipe.sha256:
                raise PrivacyRefusedError(f"Site {self.name} was asked for a study it does not have.")
            answer = self._dispatch(task)
        except FedgenError as error:
            # Where the disk is full its sentence cannot be written down, but others still need not wait for this site.
            with contextlib.suppress(DataError):
                self._log("refused", reason=error.for_log, code=int(error.exit_code))
            return refusal(self.name, error)
        except Exception as error:
            self._log("failed", reason=f"{type(error).__name__}: {error}")
            raise
        return answer

    def _dispatch(self, task: Task) -> Answer:
        match task:
            case Describe():
                return self._describe(task.round)
            case TrainRound():
                return self._train(task)
            case TrainMasked():
                return self._train_masked(task)
            case SecureStep():
                return self._secure_step(task)
            case Assess() | AssessModel():
                return self._assess(task)

    def _describe(self, round: int) -> SiteDescription:
        plan, mechanism = self.plan, self._recipe.mechanism
        self._charging.admit([None] if plan.spend is None else mechanism.turns.history(plan.spend))
        return SiteDescription(
            site=self.name,
            patients=plan.patients,
            sampling_rate=plan.local.sampling_rate,
            noise_multiplier=plan.spend.noise_multiplier if plan.spend else 0.0,
            steps_per_round=plan.spend.steps if plan.spend else 0,
            epsilon=plan.epsilon,
            epsilon_rdp=plan.epsilon_rdp,
            keys=self._sessions().advertise(round) if self._secure else None,
            grid=self._grid,
        )

    def _train(self, task: TrainRound) -> RoundUpdate:
        if self._secure:
            raise PrivacyRefusedError(
                f"Site {self.name} was asked for an update in the clear, but the study it approved has secure "
                "aggregation."
            )
        result = self._result(task)
        return RoundUpdate(
            site=self.name,
            round=task.round,
            model_sha256=task.model_sha256,
            update=result.update,
            weight=self.plan.weight,
            losses=result.losses,
        )

    def _train_masked(self, task: TrainMasked) -> MaskedUpdate:
        # Before any work: a session that is not sound must cost neither time nor privacy.
        self._sessions().open(task)
        result = self._result(task.train)
        losses, cap = self._recipe.mechanism.vector.losses, self._recipe.study.aggregation.weight_cap
        masked = self._sessions().mask(task, result, losses, int(self.plan.weight), cap)
        if masked.clipped:
            self._log("clipped", round=task.train.round, coordinates=masked.clipped)
        return MaskedUpdate(
            site=self.name,
            round=task.train.round,
            attempt=task.attempt,
            receipt=masked.receipt,
            words=masked.words,
        )

    def _secure_step(self, task: SecureStep) -> SecureReply:
        sessions = self._sessions()
        self._rounds.check(task.round)
        reply = sessions.step(task)
        if task.phase is Phase.UNMASK:
            self._log("unmasked", round=task.round, attempt=task.attempt)
        return reply

    def _assess(self, task: Question) -> Assessment:
        if self._assessor is None:
            raise PrivacyRefusedError(f"Site {self.name} does not assess models.")
        return self._assessor(task)

    def _result(self, task: TrainRound) -> RoundResult:
        result = self._rounds.result(task)
        self._log("update", round=task.round, model=task.model_sha256, update=vector_sha256(result.update))
        return result

    def _sessions(self) -> Sessions:
        if self._sessions_held is None:
            raise PrivacyRefusedError(
                f"Site {self.name} was asked for secure aggregation, which the study it approved does not have."
            )
        return self._sessions_held

    def _log(self, event: str, **fields: object) -> None:
        self._journal(event, fields)
