"""A site at work: answers tasks from its own data, under its own ledger."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from fedgen.data.site_data import SiteData
from fedgen.errors import DataError, FederationError, FedgenError, PolicyRefusedError, PrivacyRefusedError
from fedgen.families.contract import objectives_of
from fedgen.federation.site.part import Part
from fedgen.protocol.messages import (
    MAX_NAMES,
    MAX_REASON,
    Answer,
    Assess,
    Assessment,
    Describe,
    MaskedUpdate,
    Refusal,
    RoundUpdate,
    SecureReply,
    SecureStep,
    SiteDescription,
    Task,
    TrainMasked,
    TrainRound,
)
from fedgen.recipe import Recipe
from fedgen.run.atomic import unwritable
from fedgen.run.journal import Journal
from fedgen.run.lock import held
from fedgen.training.backends import backend_for
from fedgen.training.losses import summable
from fedgen.training.outbox import Outbox, RoundResult
from fedgen.training.plan import plan_site
from fedgen.training.spending import history, spend_of
from fedgen.training.training_patients import TrainingPatients
from fedgen.training.vector import vector_sha256
from fedgen_privacy.accounting import Spend
from fedgen_privacy.ledger import Budget, BudgetExceededError, Charge, Ledger
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.secagg import Advertisement, MaskedVector, Phase, SecAggAborted


class Holder(Protocol):
    """The site's sessions of secure aggregation: `fedgen_privacy.secagg.Keyholder`, here or in another process."""

    def advertise(self, round: int, attempt: int) -> Advertisement:
        """Keys of a new session."""

    def share(self, round: int, attempt: int, request: bytes) -> bytes:
        """Answer SHARE."""

    def open(self, round: int, attempt: int, request: bytes, model: bytes) -> None:
        """Check MASK's request."""

    def mask(
        self,
        round: int,
        attempt: int,
        vector: np.ndarray[tuple[int], np.dtype[Any]],
        weight: int,
        metrics: Sequence[float],
    ) -> MaskedVector:
        """Answer MASK."""

    def confirm(self, round: int, attempt: int, request: bytes) -> bytes:
        """Answer CONFIRM."""

    def unmask(self, round: int, attempt: int, request: bytes) -> bytes:
        """Answer UNMASK."""


@dataclass(frozen=True)
class Account:
    """What a study's rounds are charged to.

    Attributes:
        ledger: file of the cohort's ledger.
        budget: what all studies of the cohort together may spend; None for no limit.
    """

    ledger: Path
    budget: Budget | None = None


class Site:
    """One site of one study.

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
    """

    def __init__(
        self,
        recipe: Recipe,
        data: SiteData,
        folder: Path,
        holder: Holder | None = None,
        *,
        account: Account | None = None,
        assessor: Callable[[Assess], Assessment] | None = None,
        device: str | None = None,
        roster_size: int | None = None,
        journal: Callable[[str, Mapping[str, object]], None] | None = None,
    ) -> None:
        study = recipe.study
        self.name = data.site
        self._grid = data.grid
        self._holder = holder if study.aggregation.secure else None
        self._shared = account is not None
        self._account = account or Account(folder / "ledger.jsonl")
        self._assessor = assessor
        self._journal = journal or self._append
        self._study = study
        self._study_sha256 = recipe.sha256
        self._recipe = recipe
        self._folder = folder
        self._cohort = TrainingPatients(data, study.data.images_per_patient)
        self._outbox = Outbox(folder / "outbox")
        self._ledger: Ledger | None = None
        plan = plan_site(study, self.name, self._cohort.n_patients, objectives_of(recipe.family))
        if device is not None:
            backend = backend_for(study.training.gradients, study.model.family, device)
            plan = replace(plan, local=replace(plan.local, device=device, backend=backend))
        self.plan = plan
        self._part = Part(recipe, self._cohort, self.plan, roster_size)

    def answer(self, task: Task) -> Answer:
        """Do a task. Errors become a `Refusal`; their text stays in the site's log.

        Raises:
            Exception: a defect; its text is in the site's log and must not leave the site.
        """
        try:
            asked = task.train.study_sha256 if isinstance(task, TrainMasked) else task.study_sha256
            if asked != self._study_sha256:
                raise PrivacyRefusedError(f"Site {self.name} was asked for a study it does not have.")
            answer = self._dispatch(task)
        except FedgenError as error:
            # Where the disk is full its sentence cannot be written down, but others still need not wait for this site.
            with contextlib.suppress(DataError):
                self._log("refused", reason=str(error), code=int(error.exit_code))
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
            case Assess():
                return self._assess(task)

    def _assess(self, task: Assess) -> Assessment:
        if self._assessor is None:
            raise PrivacyRefusedError(f"Site {self.name} does not assess models.")
        return self._assessor(task)

    def _sessions(self) -> Holder:
        if self._holder is None:
            raise PrivacyRefusedError(
                f"Site {self.name} was asked for secure aggregation, which the study it approved does not have."
            )
        return self._holder

    def _describe(self, round: int) -> SiteDescription:
        plan = self.plan
        self._admit()
        return SiteDescription(
            site=self.name,
            patients=plan.patients,
            sampling_rate=plan.local.sampling_rate,
            noise_multiplier=plan.spend.noise_multiplier if plan.spend else 0.0,
            steps_per_round=plan.spend.steps if plan.spend else 0,
            epsilon=plan.epsilon,
            epsilon_rdp=plan.epsilon_rdp,
            keys=self._sessions().advertise(round, 1) if self._study.aggregation.secure else None,
            grid=self._grid,
        )

    def _train(self, task: TrainRound) -> RoundUpdate:
        if self._study.aggregation.secure:
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
        train, attempt = task.train, task.attempt
        # Before any work: a session that is not sound must cost neither time nor privacy.
        self._sessions().open(train.round, attempt, task.request, bytes.fromhex(train.model_sha256))
        result = self._result(train)
        weight, cap = int(self.plan.weight), self._study.aggregation.weight_cap
        integers = result.update.dtype == torch.int32
        masked = self._sessions().mask(
            train.round,
            attempt,
            result.update.numpy(),
            weight,
            # The loss of a distributed step is among its integers.
            [] if integers else summable(self._recipe.objectives, result.losses, weight / cap),
        )
        if masked.clipped:
            self._log("clipped", round=train.round, coordinates=masked.clipped)
        return MaskedUpdate(
            site=self.name, round=train.round, attempt=attempt, receipt=masked.receipt, words=masked.words
        )

    def _secure_step(self, task: SecureStep) -> SecureReply:
        sessions, session = self._sessions(), (task.round, task.attempt)
        self._check_round(task.round)
        keys = None
        match task.phase:
            case Phase.ADVERTISE:
                reply, keys = b"", sessions.advertise(*session)
            case Phase.SHARE:
                reply = sessions.share(*session, task.request)
            case Phase.CONFIRM:
                reply = sessions.confirm(*session, task.request)
            case Phase.UNMASK:
                reply = sessions.unmask(*session, task.request)
                self._log("unmasked", round=task.round, attempt=task.attempt)
                if task.round < self._recipe.rounds:
                    keys = sessions.advertise(task.round + 1, 1)
            case Phase.MASK:
                raise PrivacyRefusedError(f"Site {self.name} was asked to mask an update without a model.")
        return SecureReply(
            site=self.name, round=task.round, attempt=task.attempt, phase=task.phase, reply=reply, keys=keys
        )

    def _check_round(self, round: int) -> None:
        if not 1 <= round <= self._recipe.rounds:
            raise FederationError(f"Round {round} is not one of the study's {self._recipe.rounds}.")

    def _result(self, task: TrainRound) -> RoundResult:
        """The round's update, trained and charged once, however often it is asked for, by however many processes."""
        # Two processes at once would find the round charged and not yet kept, and make two results for one charge.
        with held(self._account.ledger.with_suffix(".lock")):
            return self._train_once(task)

    def _train_once(self, task: TrainRound) -> RoundResult:
        self._check_round(task.round)
        if vector_sha256(task.model) != task.model_sha256:
            raise FederationError("The model that came does not have the hash that came with it.")
        key = {"study": self._study_sha256, "model": task.model_sha256}
        result = self._outbox.get(task.round, key)
        if result is None:
            # Before the charge: what cannot be trained must not cost the patients a round.
            networks = self._recipe.networks(task.model)
            self._part.check(task.round)
            # Where other studies use these patients too, work without privacy is entered as well: it cannot be undone.
            if self.plan.spend is not None or self._shared:
                self._charge(task, self.plan.spend and spend_of(self._study, task.round, self.plan.spend))
            result = self._work(task, networks)
            self._outbox.put(task.round, key, result)
        self._log("update", round=task.round, model=task.model_sha256, update=vector_sha256(result.update))
        return result

    def _charge(self, task: TrainRound, spend: Spend | None) -> None:
        path = self._account.ledger
        if self._ledger is None:
            self._ledger = Ledger(path)
        # Kept open, or each of thousands of rounds would verify all rows before it anew.
        ledger = self._ledger
        ledger.refresh()
        charge = Charge(self._study_sha256, task.round, task.model_sha256, spend)
        rows = [row for row in ledger if row.study == charge.study]
        for row in rows:
            # Another model for a round already charged would be a second release of that round, outside
            # the plan that the noise was calibrated for.
            if row.round == charge.round and row.key != charge.key:
                raise PrivacyRefusedError(
                    f"Round {task.round} was already charged for another model: a round is trained once."
                )
        # A charged round without a result may be worked on only where none can have left: a result was never
        # written, and no later round shows that it was written, sent and removed since.
        later = any(row.round > charge.round for row in rows)
        if any(row.key == charge.key for row in rows) and (later or self._outbox.holds(task.round)):
            raise PrivacyRefusedError(
                f"Round {task.round} was already trained and its result is no longer kept: a round is trained once."
            )
        try:
            ledger.charge(charge, self._account.budget)
        except OSError as error:
            raise unwritable(path, error) from error

    def _admit(self) -> None:
        """Refuse at the start a study that the budget would end in the middle."""
        if self._account.budget is None:
            return
        plan = [None] if self.plan.spend is None else history(self._study, self.plan.spend)
        Ledger(self._account.ledger).admit(self._study_sha256, plan, self._account.budget)

    def _work(self, task: TrainRound, networks: dict[str, nn.Module]) -> RoundResult:
        before = self._outbox.optimizer_before(task.round, self._study_sha256)
        return self._part.result(task.round, task.model, networks, before, self._random(task.round))

    def _random(self, round: int) -> SecretRandom:
        if self.plan.spend is not None:
            return SecretRandom()
        # Without privacy nothing needs to be secret, and the same seed gives the same run.
        text = f"{self._study.study.seed}/{self.name}/{round}"
        return SecretRandom(hashlib.sha256(text.encode()).digest())

    def _log(self, event: str, **fields: object) -> None:
        self._journal(event, fields)

    def _append(self, event: str, fields: Mapping[str, object]) -> None:
        Journal(self._folder / "log.jsonl").write(event, **fields)


def refusal(site: str, error: FedgenError) -> Refusal:
    """What others are told of an error at a site."""
    about = tuple(s for s in error.sites if s != site) if isinstance(error, SecAggAborted) else ()
    return Refusal(
        site=site, code=error.exit_code, reason=_outline(error)[:MAX_REASON], about=about[:MAX_NAMES]
    )


def _outline(error: FedgenError) -> str:
    # An abort's phase and culprits are the protocol's own, not the data's; its text may quote a weight or a loss.
    if isinstance(error, SecAggAborted):
        named = f" (concerning {', '.join(error.sites)})" if error.sites else ""
        return (
            f"secure aggregation aborted in phase {error.phase.value}{named}; the site's log has the reason"
        )
    if isinstance(error, PolicyRefusedError):
        return str(error)
    if isinstance(error, BudgetExceededError):
        return "what is left of the privacy budget of this site's patients does not suffice"
    return f"{type(error).__name__}; the site's log has the reason"
