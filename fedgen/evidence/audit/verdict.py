"""The gate: from the evidence of all audits to one verdict with reasons."""

from __future__ import annotations

from collections.abc import Sequence

from fedgen.evidence.audit.result import Audit, Evidence, Verdict
from fedgen_privacy.statistics.multiplicity import holm

#: the worst first; INSUFFICIENT outranks REVIEW, because there is nothing for a reviewer to accept
SEVERITY = (Verdict.FAIL, Verdict.INSUFFICIENT, Verdict.REVIEW, Verdict.PASS)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The most severe; PASS of none."""
    return min(verdicts, key=SEVERITY.index, default=Verdict.PASS)


def decide(evidence: Sequence[Evidence], alpha: float) -> tuple[Audit, ...]:
    """A verdict for each audit.

    Holm's correction runs over the hypotheses of ALL audits and sites, so that a harmless generator is called
    anything but PASS by one of these tests with probability at most alpha. Findings are added as they are.

    Args:
        evidence: of the audits, in the order of the report.
        alpha: family-wise error.
    """
    adjusted = iter(holm([h.p for row in evidence for h in row.hypotheses]))
    audits = []
    for row in evidence:
        said = list(row.findings)
        for hypothesis in row.hypotheses:
            p = next(adjusted)
            if p <= alpha:
                said.append((hypothesis.consequence, f"{hypothesis.sentence} (corrected p = {p:.2g})."))
        verdict = worst([each for each, _ in said])
        reason = next((sentence for each, sentence in said if each is verdict), row.calm)
        audits.append(Audit(verdict, reason, row))
    return tuple(audits)


def overall(audits: Sequence[Audit]) -> tuple[Verdict, tuple[str, ...]]:
    """The worst verdict, and the reason of every audit that did not pass (the worst first)."""
    verdict = worst([audit.verdict for audit in audits])
    if verdict is Verdict.PASS:
        return verdict, ("No audit found that the release or the model gives a training patient away.",)
    raised = [audit for audit in audits if audit.verdict is not Verdict.PASS]
    raised.sort(key=lambda audit: SEVERITY.index(audit.verdict))
    return verdict, tuple(f"{audit.evidence.title}: {audit.reason}" for audit in raised)
