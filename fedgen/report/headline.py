"""The few numbers at the top of a report, and the limits at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedgen.report.evidence import Evidence
from fedgen.report.numbers import count, epsilon, interval, number
from fedgen.study.modes import is_private

#: True of every run, whatever its results.
FIXED_LIMITS = (
    "For research only: nothing here supports a diagnosis, and no synthetic image may be used to make one.",
    "An audit speaks of the attacks that were run on this model and these images, with the intervals shown; "
    "a stronger attack may exist, and the decision to release stays with each data controller.",
)


@dataclass(frozen=True)
class Headline:
    """One large number, its name, and a short note."""

    name: str
    value: str
    note: str


def headlines(evidence: Evidence) -> list[Headline]:
    """Cohort, privacy, model, and downstream use at a glance; only what is there."""
    run, privacy = evidence.run, evidence.privacy
    found: list[Headline] = []
    sites = run.get("sites") or []
    if sites:
        patients = sum(site.get("patients") or 0 for site in sites)
        images = sum(site.get("images") or 0 for site in sites)
        if any("patients" not in site for site in sites):
            # A site of a federation tells how many patients it trains on, and the rest only with its results.
            trained = sum((site.get("parts") or {}).get("train") or 0 for site in sites)
            found.append(Headline("Training patients", count(trained), f"{len(sites)} sites"))
        else:
            found.append(Headline("Patients", count(patients), f"{len(sites)} sites, {count(images)} images"))
    if privacy:
        none = not is_private(privacy.get("mode") or "")
        unit = f"per {privacy.get('unit') or 'unit'}, largest of all sites"
        found.append(
            Headline("Privacy loss \u03b5", "none" if none else epsilon(privacy.get("epsilon")), unit)
        )
        if none:
            found[-1] = Headline("Privacy loss \u03b5", "\u221e", "no differential privacy")
    wanted = (evidence.study.get("synthesis") or {}).get("images")
    if wanted is not None and "samples" not in evidence.missing:
        model = run.get("model") or {}
        found.append(
            Headline("Synthetic images", count(wanted), f"family {model.get('family') or 'not recorded'}")
        )
    found += _downstream(evidence.evaluation)
    return found


def _downstream(evaluation: Mapping[str, Any]) -> list[Headline]:
    """The pooled AUROC of real and of synthetic training, by the arms' own titles."""
    arms = (evaluation.get("downstream") or {}).get("arms") or []
    by_name = {str(arm.get("arm")).lower(): arm for arm in arms}
    chosen = by_name.get("tstr")
    auroc = ((chosen or {}).get("pooled") or {}).get("auroc") or {}
    if chosen is None or auroc.get("value") is None:
        return []
    of = "mean over sites" if evaluation["downstream"].get("pooling") else "all test patients"
    note = f"{chosen.get('arm')}, {of}; interval {interval(auroc.get('low'), auroc.get('high'))}"
    return [Headline("Downstream AUROC", number(auroc["value"]), note)]


def limits(evidence: Evidence) -> list[str]:
    """The stages' own limits, each once, then those that always hold."""
    own = [
        str(limit)
        for source in (evidence.privacy, evidence.audit, evidence.evaluation)
        for limit in source.get("limits") or ()
    ]
    return list(dict.fromkeys([*own, *FIXED_LIMITS]))
