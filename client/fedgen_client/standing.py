"""How a study stands at a site: what was decided of it, and what the site's policy says of it now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedgen_client.approval import Approval
from fedgen_client.policy import refusals
from fedgen_client.site_file import SiteFile
from fedgen_client.studies import OfferedStudy

State = Literal["offered", "approved", "denied", "forbidden"]


@dataclass(frozen=True)
class Standing:
    """Of one study.

    Attributes:
        state: `offered` where a person has to decide; `forbidden` where the policy, or a cohort that is gone, does not
            let it run, whatever was decided before.
        decision: what was decided of this very manifest, or None.
        why: what forbids it; empty otherwise.
    """

    state: State
    decision: Approval | None
    why: str = ""


def standing(site_file: SiteFile, offered: OfferedStudy) -> Standing:
    """How a study stands now; allowed by the policy is what it allows for one of the cohorts at least."""
    decision = offered.decision
    if decision is not None and decision.decision == "denied":
        return Standing("denied", decision)
    cohorts = list(site_file.cohorts) if decision is None or decision.cohort is None else [decision.cohort]
    if not set(cohorts) <= set(site_file.cohorts):
        return Standing(
            "forbidden", decision, f"approved for cohort {cohorts[0]}, which the site file no longer has"
        )
    problems = [refusals(site_file, name, offered.study, offered.others) for name in cohorts]
    if all(problems):
        before = "" if decision is None else "approved before, but now "
        return Standing("forbidden", decision, f"{before}forbidden by policy: {' '.join(problems[0])}")
    return Standing("offered" if decision is None else "approved", decision)


def decided(decision: Approval) -> str:
    """Who decided, when, and why.

    >>> from datetime import UTC, datetime
    >>> fields = dict(manifest_sha256="0" * 64, study_sha256="0" * 64, cohort=None, decision="denied", by="anna@north")
    >>> decided(Approval(reason="too much", time=datetime(2026, 1, 2, 3, 4, tzinfo=UTC), **fields))
    'anna@north on 2026-01-02 03:04 UTC (too much)'
    """
    why = f" ({decision.reason})" if decision.reason else ""
    return f"{decision.by} on {decision.time:%Y-%m-%d %H:%M} UTC{why}"
