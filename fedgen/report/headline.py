"""The few numbers at the top of a report, and the limits at its end."""

from __future__ import annotations

from dataclasses import dataclass

from fedgen.report.evidence import Evidence
from fedgen.report.numbers import count, epsilon, interval, number
from fedgen.run.evidence_files import EvaluationFile
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


def _downstream(evaluation: EvaluationFile | None) -> list[Headline]:
    """The AUROC of a classifier that was trained on the synthetic images."""
    rows = {row.id: row for row in evaluation.rows} if evaluation else {}
    auroc = rows["TSTR"].get("AUROC") if "TSTR" in rows else None
    if evaluation is None or auroc is None or auroc.value is None:
        return []
    of = "mean over sites" if evaluation.pooling else "all test patients"
    note = f"{rows['TSTR'].title}, {of}; interval {interval(auroc.low, auroc.high)}"
    return [Headline("Downstream AUROC", number(auroc.value), note)]


def limits(evidence: Evidence) -> list[str]:
    """The stages' own limits, each once, then those that always hold."""
    own = [str(limit) for limit in evidence.privacy.get("limits") or ()]
    for file in (evidence.audit, evidence.evaluation):
        own += file.limits if file else ()
    return list(dict.fromkeys([*own, *FIXED_LIMITS]))
