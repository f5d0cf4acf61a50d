"""The gate of a release: from the audit's verdict and the study's thresholds to one verdict with its reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedgen.errors import GateError
from fedgen.run.evidence_files import AuditFile, EvaluationFile
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.row import SEVERITY, Row, Verdict, worst
from fedgen.study.modes import is_private
from fedgen.study.release_section import ReleaseSection

#: Rows by which the use of a release is judged: who judges, and what is judged.
_WORTH = (
    ("TRTR", "TSTR"),
    ("segmentation-TRTR", "segmentation-TSTR"),
    ("translation-model", "translation-model"),
)
_GO_ON = {
    Verdict.FAIL: "train with a smaller epsilon, fewer steps or more patients",
    Verdict.INSUFFICIENT: "hold out more patients (data.split.audit), bring more sites, or let the sites that are "
    "missing answer, and assess again",
}


@dataclass(frozen=True)
class Decision:
    """What the gate says of a run.

    Attributes:
        verdict: PASS: it may be released; REVIEW: where a person accepts it; FAIL, INSUFFICIENT: it may not.
        reasons: one sentence for each thing that is in the way, the worst first; empty for PASS.
    """

    verdict: Verdict
    reasons: tuple[str, ...]


def gate(
    asked: ReleaseSection,
    audit: AuditFile,
    evaluation: EvaluationFile,
    privacy: PrivacyFile,
    unsigned: Sequence[str] = (),
) -> Decision:
    """Judge whether a run may be released.

    The verdict is the most severe of the audit's and of the thresholds'. A threshold that is missed is a FAIL where
    more of the same cannot mend it, and INSUFFICIENT where something is not known.

    Args:
        asked: the study's thresholds.
        audit, evaluation, privacy: of the run.
        unsigned: sites in the model that signed no receipt.
    """
    found = [
        *_of_audit(asked, audit),
        *_of_epsilon(asked, privacy),
        *_of_worth(asked, evaluation.pooled or evaluation.rows),
    ]
    if asked.require_receipts and unsigned:
        found.append(
            (
                Verdict.INSUFFICIENT,
                f"release.require_receipts is true, and {', '.join(sorted(unsigned))} signed no receipt.",
            )
        )
    found.sort(key=lambda each: SEVERITY.index(each[0]))
    return Decision(worst(*(verdict for verdict, _ in found)), tuple(reason for _, reason in found))


def require_open(decision: Decision, accepted: bool) -> None:
    """Refuse what may not be released.

    Args:
        decision: of the gate.
        accepted: whether a named person has accepted this very REVIEW.

    Raises:
        GateError: with the reasons, and how to go on.
    """
    verdict = decision.verdict
    if verdict is Verdict.PASS or (verdict is Verdict.REVIEW and accepted):
        return
    why = " ".join(decision.reasons)
    if verdict is Verdict.REVIEW:
        raise GateError(
            f"The gate says REVIEW, which a person decides: {why} Read the report, and accept it with "
            '--accept-review "why" --by "name", or train again.'
        )
    raise GateError(f"The gate says {verdict}, which nobody can accept: {why} To go on, {_GO_ON[verdict]}.")


def _of_audit(asked: ReleaseSection, audit: AuditFile) -> list[tuple[Verdict, str]]:
    if not any(row.verdict is not None for row in (*audit.rows, *audit.pooled)):
        return [(Verdict.INSUFFICIENT, "Nothing was audited.")]
    if audit.verdict is Verdict.PASS:
        return []
    found: list[tuple[Verdict, str]] = [(audit.verdict, reason) for reason in audit.reasons]
    if audit.verdict is Verdict.REVIEW and asked.review == "refuse":
        found.append((Verdict.FAIL, "The audit says REVIEW, and release.review is refuse."))
    return found


def _of_epsilon(asked: ReleaseSection, privacy: PrivacyFile) -> list[tuple[Verdict, str]]:
    most = asked.largest_epsilon
    if most is None:
        return []
    if not is_private(privacy.mode):
        return [
            (
                Verdict.FAIL,
                f"Its privacy.mode is none, and release.largest_epsilon allows {most:g}; images that anybody may see "
                "are released by a study that sets it to null.",
            )
        ]
    if privacy.epsilon is None or not math.isfinite(privacy.epsilon) or privacy.epsilon > most:
        spent = "not known" if privacy.epsilon is None else f"{privacy.epsilon:.4g}"
        return [(Verdict.FAIL, f"Epsilon is {spent}, and release.largest_epsilon allows {most:g}.")]
    return []


def _of_worth(asked: ReleaseSection, rows: Sequence[Row]) -> list[tuple[Verdict, str]]:
    if asked.worth == "any":
        return []
    by_id = {row.id: row for row in rows}
    pairs = [(by_id[judge], by_id[made]) for judge, made in _WORTH if judge in by_id and made in by_id]
    if not pairs:
        return [(Verdict.INSUFFICIENT, f"release.worth is {asked.worth}, and no use of it was measured.")]
    found = []
    for judge, made in pairs:
        unknown = next((row for row in (judge, made) if row.verdict in (None, Verdict.INSUFFICIENT)), None)
        if unknown is not None:
            reason = unknown.reason or unknown.note or "it has no result."
            found.append(
                (
                    Verdict.INSUFFICIENT,
                    f"release.worth is {asked.worth}, and {unknown.title} is not decided: {reason}",
                )
            )
        elif asked.worth == "shown" and made.verdict is not Verdict.PASS:
            found.append(
                (Verdict.FAIL, f"release.worth is shown, and {made.title} does not show it: {made.reason}")
            )
    return found
