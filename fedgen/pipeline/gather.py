"""The sites' assessments, asked for, kept as they come, and joined."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fedgen.errors import ExitCode
from fedgen.evidence.files import joined_audit, joined_evaluation
from fedgen.federation.exchange.contract import Exchange
from fedgen.pipeline.summary import describe_audit, describe_evaluation
from fedgen.pipeline.workspace import Workspace
from fedgen.protocol.messages import Answer, Assess, Assessment, Refusal
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import AuditNumbers, EvaluationNumbers, SiteAnswer
from fedgen.study.study import Study
from fedgen.synthesis.samples import read_samples
from fedgen.training.vector import vector_sha256

#: Seconds the sites have to assess a release: each trains the classifiers of every arm.
ASSESS_DEADLINE = 3600.0
#: Seconds in which a site that is away may come back before the others' answers are joined without it.
RECONNECT_SECONDS = 60.0
POLL_SECONDS = 0.5
#: How often a site is asked whose connection or process is lost while it works.
TRIES = 5
NOT_CONNECTED = "it was not connected"


def assess(work: Workspace, exchange: Exchange, deadline: float = ASSESS_DEADLINE) -> None:
    """Let every site in the model assess the release, and join what came into audit.json and evaluation.json.

    What a site has sent is kept in assessments/, so a second call asks only the others and joins again.

    Args:
        work: a synthesized run.
        exchange: reaches the sites by their names.
        deadline: seconds they have.
    """
    run, study = work.run, work.study
    model, release = work.trained().ema, read_samples(run.samples)
    task = Assess(
        study_sha256=work.recipe.sha256,
        model_sha256=vector_sha256(model),
        model=model,
        images=release.images,
        labels=release.labels,
    )
    members = sorted({site for event in run.read_events("round") for site in event["sites"]})
    question = task.sha256
    kept = {site: found for site in members if (found := _kept(run, site, question))}
    # A site that withheld a part may have changed its policy; what it sent before it sends again unchanged.
    wanted = [
        site
        for site in members
        if site not in kept or kept[site].audit is None or kept[site].evaluation is None
    ]
    why = dict.fromkeys(wanted, NOT_CONNECTED)
    for site, answer in _answers(exchange, task, why, deadline):
        reason = _unusable(site, answer, question, study)
        if reason is not None:
            why[site] = reason
        elif isinstance(answer, Assessment):
            kept[site] = SiteAnswer(
                site=site,
                question=answer.question_sha256,
                audit=answer.audit,
                evaluation=answer.evaluation,
            )
            kept[site].write(run, _file(run, site))
            why.pop(site, None)
            run.event("assessed", site=site)
    for site, reason in why.items():
        run.event("not_assessed", site=site, reason=reason)
    _join(work, members, kept, why)


def _answers(
    exchange: Exchange, task: Assess, why: dict[str, str], deadline: float
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
                if isinstance(answer, Refusal) and answer.code is ExitCode.FEDERATION and tries.get(site):
                    again.add(site)
                yield site, answer
            tries = {site: count for site, count in tries.items() if site not in here or site in again}
            patience = min(end, time.monotonic() + RECONNECT_SECONDS)
        elif time.monotonic() < patience:
            time.sleep(POLL_SECONDS)
        else:
            return


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


def _join(
    work: Workspace, members: list[str], kept: Mapping[str, SiteAnswer], why: Mapping[str, str]
) -> None:
    run, study = work.run, work.study
    audits = {site: answer.audit for site, answer in kept.items() if answer.audit is not None}
    evaluations = {site: answer.evaluation for site, answer in kept.items() if answer.evaluation is not None}

    def absent(found: Collection[str]) -> dict[str, str]:
        return {site: why.get(site, "its policy withholds it") for site in members if site not in found}

    audit = joined_audit(study, audits, absent(audits))
    evaluation = joined_evaluation(study, evaluations, absent(evaluations))
    evaluation.write(run)
    audit.write(run)
    run.update_summary(
        sites=[
            _with_counts(row, audits.get(row["site"]), evaluations.get(row["site"]))
            for row in run.read_json("run.json")["sites"]
        ],
        audit=describe_audit(audit),
        evaluation=describe_evaluation(evaluation),
    )


def _with_counts(
    row: dict[str, Any], audit: AuditNumbers | None, evaluation: EvaluationNumbers | None
) -> dict[str, Any]:
    """A site's entry in run.json with the counts that came with its numbers."""
    audited = {} if audit is None else audit.n
    evaluated = {} if evaluation is None else evaluation.n
    parts = {
        "train": row["parts"]["train"],
        "audit": audited.get("audit_patients"),
        "test": evaluated.get("test_patients"),
    }
    parts = {part: patients for part, patients in parts.items() if patients is not None}
    if len(parts) < 3:
        return {"site": row["site"], "parts": parts}
    images = audited["train_images"] + audited["audit_images"] + evaluated["test_images"]
    return {"site": row["site"], "patients": sum(parts.values()), "images": images, "parts": parts}
