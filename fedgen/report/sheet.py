"""The first page: what a person who signs must know, in plain words, each sentence with where it comes from."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fedgen.report.detectable import Unseen, unseen
from fedgen.report.numbers import DASH, THIN, count, epsilon, interval
from fedgen.report.traces import TOGETHER, short
from fedgen.report.worth import worth
from fedgen.run.evidence_files import AUDIT, EVALUATION, AuditFile
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.row import SEVERITY, Row, Value, Verdict, worst
from fedgen.run.summary import RunSummary
from fedgen.run_view import RunView
from fedgen.study.modes import is_private
from fedgen_privacy.statistics.dp_bounds import right_guesses, tpr_bound

#: What each word of the gate means, for who meets it here first.
MEANS = {
    Verdict.PASS: "No audit found that a training patient is given away. That is the absence of a finding and no "
    "proof: what these audits could not have seen stands below.",
    Verdict.REVIEW: "An audit found something that a person has to judge before anything is released.",
    Verdict.FAIL: "An audit found that training patients are given away, or that a promise does not hold: do not "
    "release this.",
    Verdict.INSUFFICIENT: "The audits could not judge: too little data, or a site that sent none. Nothing that is "
    "unknown passes.",
}
UNKNOWN = "Nothing has been audited, so nothing is known of what the release or the model gives away."
#: Reasons that fit on the first page; the others follow with the audits.
REASONS = 5
#: An epsilon that lets an attack find more of the patients, wrongly naming 1 of 100, is called what it is.
WEAK = 0.5
#: Names of the values that say how well an attack did.
_ATTACK = re.compile(r"AUC \((mean|max) over .*\)")
#: Effects named on the first page; the table has all of them.
_NAMED = 3


@dataclass(frozen=True)
class Answer:
    """A question, its answer in plain words, and where that comes from."""

    question: str
    answer: str
    trace: str


def means(audit: AuditFile | None) -> str:
    """What the verdict means."""
    return UNKNOWN if audit is None else MEANS[audit.verdict]


def answers(view: RunView, audits: Sequence[Row]) -> list[Answer]:
    """The first page's questions, in the order in which they are asked.

    Args:
        view: the run.
        audits: rows of its audit as the page shows them; none where it has not run.
    """
    evaluation = view.evaluation
    value = worth(evaluation.pooled or evaluation.rows) if evaluation else None
    paid = view.privacy is not None and view.privacy.evidence is not None
    not_covered = (
        "Which patients train, audit and test is taken as fixed, and figures of patients are not covered."
        if paid
        else "Audit and evaluation are computed from patients, and no epsilon of the training covers them."
    )
    return [
        Answer("What was made", _made(view), f"{RunSummary.name} model sites"),
        Answer("What a patient is promised", _promised(view.privacy), f"{PrivacyFile.name} epsilon delta"),
        Answer("What the audits found", _found(view.audit, audits), AUDIT),
        Answer("What they could not have seen", _unseen(unseen(audits)), AUDIT),
        Answer(
            "What it is worth in use",
            value or ("Nothing was compared." if evaluation else "Nothing has been evaluated."),
            EVALUATION,
        ),
        Answer(
            "What stays open",
            f"{not_covered} Stronger attacks may exist. The decision to release stays with each data controller.",
            f"{PrivacyFile.name} limits, {AUDIT} limits",
        ),
    ]


def _made(view: RunView) -> str:
    summary = view.summary
    family = (
        f"by the model family {summary.model.family}" if summary.model else "by a model that is not recorded"
    )
    trained = sum(site.parts.train for site in summary.sites)
    sites = len(summary.sites)
    whose = (
        f"{count(trained)} training patients of {sites} site{'s' * (sites != 1)}"
        if sites
        else "no recorded site"
    )
    stood = ""
    if summary.model is not None and summary.model.start is not None:
        stood = f" It stands on weights or a prior made of other data: {summary.model.start.source}."
    if view.translates:
        return f"A model that makes one kind of image from others of the same patient, {family}, from {whose}.{stood}"
    images = count(view.study.synthesis.images) if view.study else DASH
    return f"{images} synthetic images {family}, from {whose}.{stood}"


def _promised(privacy: PrivacyFile | None) -> str:
    if privacy is None:
        return "Nothing is recorded."
    if not is_private(privacy.mode) or privacy.epsilon is None:
        return "Nothing. Training had neither clipping nor noise: nothing bounds what the model remembers of a patient."
    delta = privacy.delta or 0.0
    right = right_guesses(privacy.epsilon, delta)
    found = tpr_bound(0.01, privacy.epsilon, delta)
    weak = " That excludes almost no attack." if found > WEAK else ""
    return (
        f"\u03b5 {epsilon(privacy.epsilon)} for each {privacy.unit}, with all images together. Whoever guesses whether "
        f"a given {privacy.unit} took part, where a coin is right half of the time, is right at most {_up(right)} of "
        f"the time, and who may wrongly name 1 of 100 finds at most {_up(found)}.{weak} It holds against "
        f"{privacy.holds_against}."
    )


def _up(share: float) -> str:
    """A share in percent, rounded up and below 100 where it is: a bound is never printed smaller than it is."""
    tenths = math.ceil(round(share * 1000, 6)) / 10
    return f"more than 99.9{THIN}%" if share < 1 and tenths >= 100 else f"{tenths:g}{THIN}%"


def _found(audit: AuditFile | None, audits: Sequence[Row]) -> str:
    if audit is None:
        return "Nothing: no audit has run."
    verdicts = _verdicts(audits)
    told = ", ".join(f"{verdicts[word]} {word}" for word in SEVERITY if verdicts[word]) or "none"
    strongest = _strongest(audits)
    if strongest is None:
        return f"Verdicts: {told}. No attack told who took part by a score."
    row, value = strongest
    return (
        f"Verdicts: {told}. The strongest attack by its score, {short(row)}, puts a training patient before one that "
        f"was held out in {100 * (value.value or 0):.0f}{THIN}% of pairs [{interval(value.low, value.high)}]; guessing "
        f"does in 50{THIN}%."
    )


def _verdicts(audits: Sequence[Row]) -> Counter[Verdict]:
    """How many audits have each verdict: the worst of an audit's rows, as the gate takes it.

    What a site is too small to judge is judged where all patients are together.
    """
    found: dict[str, list[Verdict]] = {}
    together = {row.id.removesuffix(TOGETHER) for row in audits if row.id.endswith(TOGETHER)}
    for row in audits:
        own = row.id.removesuffix(TOGETHER)
        judged_together = row.id == own and own in together
        if row.verdict is None or (judged_together and row.verdict is Verdict.INSUFFICIENT):
            continue
        found.setdefault(own, []).append(row.verdict)
    return Counter(worst(*verdicts) for verdicts in found.values())


def _strongest(audits: Sequence[Row]) -> tuple[Row, Value] | None:
    scored = [
        (row, value)
        for row in audits
        for value in row.values
        if _ATTACK.fullmatch(value.name) and value.value is not None
    ]
    return max(scored, key=lambda pair: pair[1].value or 0.0, default=None)


def _unseen(found: Sequence[Unseen]) -> str:
    known = [each for each in found if each.together != DASH] or [each for each in found if each.sites]
    if not known:
        return "No audit says how small an effect it would have found."
    audits: dict[str, list[str]] = {}
    # One of each kind before a second of any, so that the few that are named are of all kinds.
    seen: Counter[str] = Counter()
    rank = {}
    for each in known:
        rank[id(each)] = seen[each.what]
        seen[each.what] += 1
    for each in sorted(known, key=lambda each: rank[id(each)]):
        size = each.together if each.together != DASH else f"{each.sites} at single sites"
        audits.setdefault(f"{each.what} {size}", []).append(each.audit)
    lines = [f"{what} ({', '.join(names)})" for what, names in audits.items()]
    more = f", and {len(lines) - _NAMED} more in the table" if len(lines) > _NAMED else ""
    return f"Whatever is smaller: {'; '.join(lines[:_NAMED])}{more}."


def first_reasons(audit: AuditFile | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The reasons for the first page, and those that follow."""
    reasons = audit.reasons if audit else ()
    return reasons[:REASONS], reasons[REASONS:]
