"""What an audit says, as values that become `audit.json`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The gate's words. PASS is never given where n was too small to find anything."""

    PASS = "PASS"
    REVIEW = "REVIEW"
    FAIL = "FAIL"
    INSUFFICIENT = "INSUFFICIENT"


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else float(number)


@dataclass(frozen=True)
class Value:
    """One number of an audit.

    Attributes:
        name: for the table, such as "AUC".
        value: the estimate; None where undefined.
        low: lower limit of its interval.
        high: upper limit.
        note: what a reader must know, such as why there is no number.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON object; a number that is not finite becomes null and says so."""
        note = self.note
        if self.value is not None and not math.isfinite(self.value):
            note = f"{note}; not finite" if note else "not finite"
        return {
            "name": self.name,
            "value": _finite(self.value),
            "low": _finite(self.low),
            "high": _finite(self.high),
            "note": note,
        }


@dataclass(frozen=True)
class SiteValues:
    """Values of one site."""

    site: str
    values: tuple[Value, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON object."""
        return {"site": self.site, "values": [value.to_json() for value in self.values]}


@dataclass(frozen=True)
class Hypothesis:
    """One test the gate corrects together with all others.

    Attributes:
        p: p-value of the harmless state.
        consequence: verdict if it is rejected.
        sentence: what is then true.
    """

    p: float
    consequence: Verdict
    sentence: str


@dataclass(frozen=True)
class Evidence:
    """What one audit found, before the gate decides.

    Attributes:
        id: stable name, such as "copy-detection".
        title: for people.
        values: pooled over the sites.
        per_site: the same of each site.
        n: sample sizes.
        calm: the sentence of a PASS.
        hypotheses: tests; Holm's correction over those of all audits decides.
        findings: verdicts that need no test, with their sentence.
    """

    id: str
    title: str
    values: tuple[Value, ...]
    per_site: tuple[SiteValues, ...]
    n: dict[str, int]
    calm: str
    hypotheses: tuple[Hypothesis, ...] = ()
    findings: tuple[tuple[Verdict, str], ...] = ()


@dataclass(frozen=True)
class Audit:
    """One row of the result: evidence with its verdict."""

    verdict: Verdict
    reason: str
    evidence: Evidence

    def to_json(self) -> dict[str, Any]:
        """JSON object."""
        return {
            "id": self.evidence.id,
            "title": self.evidence.title,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "values": [value.to_json() for value in self.evidence.values],
            "per_site": [site.to_json() for site in self.evidence.per_site],
            "n": dict(self.evidence.n),
        }


@dataclass(frozen=True)
class AuditResult:
    """The whole of `audit.json`.

    Attributes:
        verdict: the worst of the audits.
        reasons: one sentence each.
        alpha: 1 - confidence of every interval, and the family-wise error of the tests.
        n: patients and images.
        epsilon: the claim under add/remove of a patient; None without DP.
        delta: the claim.
        audits: the rows.
        limits: what this audit cannot show.
        seed: of resampling, permutations and folds.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    alpha: float
    n: dict[str, int]
    epsilon: float | None
    delta: float
    audits: tuple[Audit, ...]
    limits: tuple[str, ...]
    seed: int = field(default=0)

    def to_json(self) -> dict[str, Any]:
        """JSON object without NaN or infinity."""
        return {
            "verdict": self.verdict.value,
            "reasons": list(self.reasons),
            "alpha": self.alpha,
            "n": dict(self.n),
            "claim": {"epsilon": _finite(self.epsilon), "delta": self.delta},
            "audits": [audit.to_json() for audit in self.audits],
            "limits": list(self.limits),
            "seed": self.seed,
        }
