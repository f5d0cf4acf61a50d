"""The sites' assessments, asked for, kept as they come, and joined."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from fedgen.errors import ExitCode, PrivacyRefusedError
from fedgen.evidence.files import joined_audit, joined_evaluation
from fedgen.federation.exchange.contract import Exchange
from fedgen.pipeline.entries import describe_audit, describe_evaluation
from fedgen.pipeline.noised_assessment import joined_privately
from fedgen.pipeline.question import question_of
from fedgen.pipeline.readings import with_readings
from fedgen.pipeline.setting import Pooled, Setting
from fedgen.pipeline.watch import Measured, unseen
from fedgen.pipeline.workspace import Workspace
from fedgen.protocol.messages import Answer, Assessment, Question, Refusal
from fedgen.protocol.receipt import (
    ReceiptFile,
    SignedReceipt,
    numbers_sha256,
    open_receipt,
    receipt_name,
    spans,
    within,
)
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Assessed, NotAssessed, QuestionAsked, RoundDone
from fedgen.run.evidence_files import AuditNumbers, EvaluationNumbers, SiteAnswer
from fedgen.run.summary import Parts, RunSummary, SiteEntry, update_summary
from fedgen.study.study import Study

#: Seconds in which a site that is away may come back before the others' answers are joined without it.
RECONNECT_SECONDS = 60.0
POLL_SECONDS = 0.5
#: How often a site is asked whose connection or process is lost while it works.
TRIES = 5
NOT_CONNECTED = "it was not connected"


def assess(here: Setting, measured: Measured = unseen) -> None:
    """Let every site in the model assess the release, and join what came into audit.json and evaluation.json.

    What a site has sent is kept in assessments/, so a second call asks only the others and joins again.

    Args:
        here: a run with its release, and how its sites are reached.
        measured: told what has been measured, and who has answered.

    Raises:
        DataError: the run has no release, or what is measured in one place cannot be measured.
    """
    work, run = here.work, here.work.run
    task = question_of(work)
    trained: dict[str, set[int]] = {}
    for done in run.read_events(RoundDone):
        for site in done.sites:
            trained.setdefault(site, set()).add(done.round)
    members = sorted(trained)
    question = task.sha256
    kept = {site: found for site in members if (found := _kept(run, site, question))}
    # A site that withheld a part may have changed its policy; what it sent before it sends again unchanged.
    wanted = [
        site
        for site in members
        if site not in kept
        or kept[site].audit is None
        or kept[site].evaluation is None
        or (site in here.keys and not _receipt_file(run, site).exists())
    ]
    run.event(QuestionAsked(question=question, sites=tuple(members), kept=tuple(sorted(kept))))
    why = dict.fromkeys(wanted, NOT_CONNECTED)
    exchange = here.assessors(task, measured) if wanted else None
    told: set[str] = set()
    for site, answer in _answers(exchange, task, why, here.deadline) if exchange else ():
        reason = _unusable(site, answer, question, work.study) or _unsigned(
            site, answer, task, here.keys.get(site), trained[site]
        )
        if reason is not None:
            why[site] = reason
            if not _may_be_asked_again(answer):
                run.event(NotAssessed(site=site, reason=reason))
                told.add(site)
        elif isinstance(answer, Assessment):
            kept[site] = SiteAnswer(
                site=site,
                question=answer.question_sha256,
                audit=answer.audit,
                evaluation=answer.evaluation,
            )
            _keep_receipt(run, site, answer.receipt, here.keys.get(site))
            kept[site].write(run, _file(run, site))
            why.pop(site, None)
            run.event(Assessed(site=site))
            measured(site, "has answered")
    for site in sorted(why.keys() - told):
        run.event(NotAssessed(site=site, reason=why[site]))
    audits = {site: answer.audit for site, answer in kept.items() if answer.audit is not None}
    evaluations = {site: answer.evaluation for site, answer in kept.items() if answer.evaluation is not None}
    paid = joined_privately(work.recipe, task, audits, evaluations)
    pooled = here.pooled(task, measured) if paid is None else Pooled(*paid)
    _join(work, members, kept, why, question, pooled)


def _answers(
    exchange: Exchange, task: Question, why: dict[str, str], deadline: float
) -> Iterator[tuple[str, Answer]]:
    """Answers of the sites in `why`, which learns who was asked and has not answered yet.

    A site that is away is waited for, and one whose connection or process was lost is asked again: what it has
    computed it has kept.
    """
    end = time.monotonic() + deadline
    patience = min(end, time.monotonic() + RECONNECT_SECONDS)
    tries = dict.fromkeys(why, TRIES)
    while tries:
        here = [site for site in exchange.sites() if site in tries]
        left = end - time.monotonic()
        if here and left > 0:
            why |= dict.fromkeys(here, f"no answer within {deadline:g} s")
            tries = {site: count - (site in here) for site, count in tries.items()}
            again = set()
            for site, answer in exchange.stream(dict.fromkeys(here, task), left):
                if _may_be_asked_again(answer) and tries.get(site):
                    again.add(site)
                yield site, answer
            tries = {site: count for site, count in tries.items() if site not in here or site in again}
            patience = min(end, time.monotonic() + RECONNECT_SECONDS)
        elif time.monotonic() < patience:
            time.sleep(POLL_SECONDS)
        else:
            return


def _may_be_asked_again(answer: Answer) -> bool:
    """Whether it was the way to the site that failed, and not the site that said no."""
    return isinstance(answer, Refusal) and answer.code is ExitCode.FEDERATION


def _file(run: RunDirectory, site: str) -> str:
    return f"assessments/{run.site(site).name}.json"


def _kept(run: RunDirectory, site: str, question: str) -> SiteAnswer | None:
    if not (run.path / _file(run, site)).exists():
        return None
    found = SiteAnswer.read(run, _file(run, site))
    return found if found.question == question else None


def _unusable(site: str, answer: Answer, question: str, study: Study) -> str | None:
    if isinstance(answer, Refusal):
        return f"it refused: {answer.reason}"
    if not isinstance(answer, Assessment) or answer.site != site:
        return "it answered something else than its assessment"
    if answer.question_sha256 != question:
        return "it assessed another model or other images"
    if answer.audit is not None and answer.audit.alpha != study.audit.alpha:
        return "it audited at another significance level than the study's"
    return None


def _unsigned(site: str, answer: Answer, task: Question, key: bytes | None, trained: set[int]) -> str | None:
    """Why a receipt cannot be taken; None where it can, or there is none."""
    if not isinstance(answer, Assessment) or answer.receipt is None:
        return None
    if key is None:
        return "it signed a receipt, and its key is not known here"
    try:
        receipt = open_receipt(answer.receipt, key)
    except PrivacyRefusedError:
        return "its receipt is not signed with its own key"
    said = (
        receipt.site,
        receipt.study_sha256,
        receipt.model_sha256,
        receipt.release_sha256,
        receipt.question_sha256,
        receipt.audit_sha256,
        receipt.evaluation_sha256,
    )
    meant = (
        site,
        task.study_sha256,
        task.model_sha256,
        task.release_sha256,
        task.sha256,
        numbers_sha256(answer.audit),
        numbers_sha256(answer.evaluation),
    )
    if said != meant:
        return "its receipt is of something else than what it was asked and sent"
    if not within(spans(trained), receipt.rounds):
        return "its receipt lacks a round whose sum it is in"
    return None


def _receipt_file(run: RunDirectory, site: str) -> Path:
    return run.path / receipt_name(run, site)


def _keep_receipt(run: RunDirectory, site: str, signed: SignedReceipt | None, key: bytes | None) -> None:
    if signed is None or key is None:
        # One of an earlier answer says what this one no longer does.
        _receipt_file(run, site).unlink(missing_ok=True)
    else:
        ReceiptFile(site=site, key=key.hex(), signed=signed).write(run, receipt_name(run, site))


def _join(
    work: Workspace,
    members: list[str],
    kept: Mapping[str, SiteAnswer],
    why: Mapping[str, str],
    question: str,
    pooled: Pooled | None,
) -> None:
    run, study = work.run, work.study
    audits = {site: answer.audit for site, answer in kept.items() if answer.audit is not None}
    evaluations = {site: answer.evaluation for site, answer in kept.items() if answer.evaluation is not None}

    def absent(found: Collection[str]) -> dict[str, str]:
        return {site: why.get(site, "its policy withholds it") for site in members if site not in found}

    audit = joined_audit(study, audits, absent(audits), pooled and pooled.audit)
    evaluation = joined_evaluation(study, evaluations, absent(evaluations), pooled and pooled.evaluation)
    evaluation = with_readings(run, question, evaluation)
    evaluation.write(run)
    audit.write(run)
    update_summary(
        run,
        RunSummary(
            sites=tuple(
                _with_counts(entry, audits.get(entry.site), evaluations.get(entry.site))
                for entry in RunSummary.read(run).sites
            ),
            audit=describe_audit(audit),
            evaluation=describe_evaluation(evaluation),
        ),
    )


def _with_counts(
    entry: SiteEntry, audit: AuditNumbers | None, evaluation: EvaluationNumbers | None
) -> SiteEntry:
    """A site's entry in run.json with the counts that came with its numbers, where it has none of its own."""
    if entry.classes is not None:
        # This machine has counted for itself.
        return entry
    audited = {} if audit is None else audit.n
    evaluated = {} if evaluation is None else evaluation.n
    parts = Parts(
        train=entry.parts.train,
        audit=audited.get("audit_patients", entry.parts.audit),
        test=evaluated.get("test_patients", entry.parts.test),
    )
    if parts.audit is None or parts.test is None:
        return entry.model_copy(update={"parts": parts})
    images = (audited.get("train_images"), audited.get("audit_images"), evaluated.get("test_images"))
    known = [count for count in images if count is not None]
    return entry.model_copy(
        update={
            "patients": parts.train + parts.audit + parts.test,
            "images": sum(known) if len(known) == len(images) else entry.images,
            "parts": parts,
        }
    )
