"""Who answers in the worker: one `Site` for every study this hospital approved, each from its own cohort.

Consent is asked anew before every task: a site file made stricter, an approval withdrawn or a manifest changed on the
disk ends a study at once, before anything is computed, charged or sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from fedgen.data.held_out import check_held_out
from fedgen.data.prepare import prepare_site
from fedgen.data.pseudonyms import Pseudonyms
from fedgen.data.site_data import Part
from fedgen.data.withdrawals import Withdrawals
from fedgen.errors import FedgenError, PolicyRefusedError, PrivacyRefusedError
from fedgen.federation.site.charging import Account
from fedgen.federation.site.refusals import refusal
from fedgen.federation.site.site import Site
from fedgen.mechanisms.contract import SitePlan
from fedgen.pipeline.assessment import AUDIT, EVALUATION, RECEIPT, Assessor
from fedgen.protocol.messages import (
    Answer,
    Assess,
    AssessModel,
    Describe,
    MaskedUpdate,
    Refusal,
    RoundUpdate,
    SecureStep,
    SiteDescription,
    Task,
    TrainMasked,
)
from fedgen.recipe import Recipe
from fedgen.training.devices import require_site_device
from fedgen_client.books import budget_of
from fedgen_client.consent import approve_by_policy, require_consent
from fedgen_client.folder import SiteFolder
from fedgen_client.given_start import make_start, take_lying
from fedgen_client.policy import cohort_problems, withheld
from fedgen_client.site_file import SiteFile
from fedgen_client.studies import OfferedStudy, Studies
from fedgen_client.told import AboutAnswer, AboutTask, Told
from fedgen_privacy.secagg import Keyholder, Phase

#: Seconds in which the coordinator, told that this site takes part, begins or asks the others.
SOON = 60.0
#: Seconds between the last round and the question what the release is worth.
AFTERWARDS = 600.0


@dataclass(frozen=True)
class _Ready:
    """A study with its data, and the files it was made from as they were then."""

    stamp: tuple[Any, ...]
    made_of: tuple[str, str, SiteFile, frozenset[str]]
    offered: OfferedStudy
    site: Site
    epsilon_after: Callable[[int], float] | None


class Hospital:
    """This hospital's answers.

    Args:
        folder: of a site that has joined.
        progress: told what has been audited or measured, while the release is assessed.
    """

    def __init__(self, folder: SiteFolder, progress: Callable[[str], None] = lambda title: None) -> None:
        self._folder, self._progress = folder, progress
        self._name = folder.membership().site
        self._studies = Studies(folder)
        self._ready: dict[str, _Ready] = {}
        self._told = Told()
        self._events: list[dict[str, JsonValue]] = []

    def told(self) -> Told:
        """About the last message, whatever came of it."""
        return self._told.model_copy(update={"events": self._events})

    def unread(self, reason: str) -> None:
        """Note that a message could not be read, and why."""
        self._told, self._events = Told(said=reason), [{"event": "refused", "reason": reason}]

    def answer(self, task: Task) -> Answer:
        """Do a task of whichever study it is of.

        Raises:
            Exception: a defect, as `Site.answer`.
        """
        sha256 = task.train.study_sha256 if isinstance(task, TrainMasked) else task.study_sha256
        about = _about(task, sha256)
        self._told, self._events = Told(task=about), []
        try:
            ready = self._study(sha256)
        except FedgenError as error:
            self._events.append({"event": "refused", "study": sha256, "reason": error.for_log})
            answer: Answer = refusal(self._name, error)
        else:
            answer = ready.site.answer(task)
            self._tell(active_seconds=_active(task, answer, ready.offered))
        self._tell(
            answer=self._about_answer(answer, about), said=_said(answer, task, self._ready.get(sha256))
        )
        return answer

    def _tell(self, **fields: object) -> None:
        self._told = self._told.model_copy(update=fields)

    def _study(self, sha256: str) -> _Ready:
        stamp = self._stamp(sha256)
        known = self._ready.get(sha256)
        if known is not None and known.stamp == stamp:
            return known
        offered = self._studies.get(sha256)
        if offered is None:
            self._tell(unknown=sha256)
            raise PolicyRefusedError("This site has not been offered the study yet.")
        site_file = self._folder.load_site_file()
        try:
            approve_by_policy(self._folder, site_file, offered)
            offered = self._studies.get(sha256) or offered
            cohort = require_consent(site_file, offered)
        except PrivacyRefusedError as error:
            # Their sentences are about the study and the policy, and may be told.
            raise PolicyRefusedError(str(error)) from None
        made_of = (offered.manifest_sha256, cohort, site_file, self._withdrawals().names())
        if known is not None and known.made_of == made_of:
            return self._keep(sha256, replace(known, offered=offered))
        site, epsilon = self._prepare(offered, site_file, cohort)
        return self._keep(sha256, _Ready(stamp, made_of, offered, site, epsilon))

    def _keep(self, sha256: str, ready: _Ready) -> _Ready:
        # Approving by policy has written the approval since the files were looked at.
        self._ready[sha256] = replace(ready, stamp=self._stamp(sha256))
        return self._ready[sha256]

    def _stamp(self, sha256: str) -> tuple[Any, ...]:
        own = self._folder.study(sha256)
        return tuple(
            _version(path)
            for path in (
                self._folder.site_file,
                own / "manifest.json",
                own / "approval.json",
                self._folder.withdrawn,
            )
        )

    def _withdrawals(self) -> Withdrawals:
        return Withdrawals(self._folder.withdrawn, Pseudonyms.kept_in(self._folder.pseudonym_key))

    def _prepare(
        self, offered: OfferedStudy, site_file: SiteFile, name: str
    ) -> tuple[Site, Callable[[int], float] | None]:
        study, cohort = offered.study, site_file.cohorts[name]
        # Before the site says that it takes part, and long before it charges a round.
        require_site_device(site_file.runtime.device, study.training.device)
        own = self._folder.study(offered.study_sha256)
        prepared = prepare_site(
            study,
            cohort.folder,
            self._name,
            own / "data",
            self._folder.cache,
            pseudonyms=Pseudonyms.kept_in(self._folder.pseudonym_key),
            withdrawn=self._folder.withdrawn,
        )
        held_out = prepared.data.part(Part.AUDIT).n_patients
        check_held_out(study, self._name, prepared.data.n_patients, held_out)
        # A policy approves without a person who would have been given what the study stands on.
        make_start(self._folder, offered)
        take_lying(self._folder, offered)
        recipe = Recipe.of(study).on_frozen(self._folder.pretrained(offered.study_sha256))
        holder = None
        if study.aggregation.secure:
            roster = offered.manifest.to_roster()
            holder = Keyholder(
                self._folder.identity(self._name),
                roster,
                recipe.parameters(len(roster)),
                bytes.fromhex(offered.study_sha256),
                own,
            )
        metrics = frozenset({AUDIT, EVALUATION, RECEIPT} - set(withheld(site_file.policy)))
        account = Account(self._folder.ledger(name), budget_of(cohort))
        site = Site(
            recipe,
            prepared.data,
            own,
            holder,
            account=account,
            assessor=Assessor(
                recipe,
                prepared.data,
                own,
                metrics,
                site_file.runtime.device,
                self._progress,
                identity=self._folder.identity(self._name),
                account=account,
            ),
            device=site_file.runtime.device,
            journal=partial(self._journal, offered.study_sha256),
            roster_size=len(offered.manifest.to_roster()),
        )
        # Those who are left: a cohort that withdrawals made too small takes no part, though its N stays the study's.
        problems = cohort_problems(site_file.policy, prepared.data.part(Part.TRAIN).n_patients)
        if problems:
            raise PolicyRefusedError(" ".join(problems))
        return site, _epsilon_after(recipe, site.plan, cohort.delta)

    def _journal(self, sha256: str, event: str, fields: Mapping[str, Any]) -> None:
        self._events.append({"event": event, "study": sha256, **fields})

    def _about_answer(self, answer: Answer, task: AboutTask) -> AboutAnswer:
        said: dict[str, Any] = {**task.model_dump(exclude_unset=True), "kind": answer.kind}
        if isinstance(answer, Refusal):
            return AboutAnswer(**said, decision="refused", reason=answer.reason)
        ready = self._ready.get(task.study)
        after = None if ready is None else ready.epsilon_after
        if isinstance(answer, SiteDescription):
            said["epsilon"] = answer.epsilon
        elif isinstance(answer, MaskedUpdate | RoundUpdate) and after is not None:
            said["epsilon"] = after(answer.round)
        return AboutAnswer(**said, decision="answered")


def _epsilon_after(recipe: Recipe, plan: SitePlan, delta: float) -> Callable[[int], float] | None:
    """Epsilon at `delta` after so many rounds, from above: by RDP, which is quick, and at most that of the study."""
    spend = plan.spend
    if spend is None:
        return None
    after, whole = recipe.mechanism.turns.epsilon_after, math.inf
    if plan.epsilon is not None and recipe.study.privacy.delta <= delta:
        whole = plan.epsilon
    return lambda rounds: min(after(spend, delta, rounds), whole)


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _about(task: Task, sha256: str) -> AboutTask:
    if isinstance(task, Assess | AssessModel):
        return AboutTask(study=sha256, kind=task.kind)
    if isinstance(task, SecureStep):
        return AboutTask(study=sha256, kind=task.kind, round=task.round, phase=task.phase.value)
    round = task.train.round if isinstance(task, TrainMasked) else task.round
    return AboutTask(study=sha256, kind=task.kind, round=round)


def _active(task: Task, answer: Answer, offered: OfferedStudy) -> float:
    if isinstance(answer, Refusal):
        return 0.0
    if isinstance(task, Describe):
        return SOON
    if isinstance(task, Assess | AssessModel):
        return 0.0
    last = offered.study.total_rounds
    if isinstance(task, SecureStep) and task.phase is Phase.UNMASK and task.round >= last:
        return AFTERWARDS
    return offered.study.aggregation.deadline


def _said(answer: Answer, task: Task, ready: _Ready | None) -> str | None:
    name = "" if ready is None else f"{ready.offered.name}: "
    if isinstance(answer, Refusal):
        return f"{name}refused ({answer.reason})."
    if isinstance(answer, SiteDescription):
        epsilon = (
            "no privacy" if answer.epsilon is None else f"epsilon {answer.epsilon:.2f} for the whole study"
        )
        return f"{name}takes part with {answer.patients} training patients, {epsilon}."
    if isinstance(answer, MaskedUpdate | RoundUpdate):
        rounds = "?" if ready is None else ready.offered.study.total_rounds
        return f"{name}sent round {answer.round} of {rounds}."
    return f"{name}assessed the release." if isinstance(task, Assess | AssessModel) else None
