"""The few numbers at the top of a report, and the limits at its end."""

from __future__ import annotations

from dataclasses import dataclass

from fedgen.report.numbers import count, epsilon, interval, number
from fedgen.run.evidence_files import EvaluationFile
from fedgen.run_view import RunView
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


def headlines(view: RunView) -> list[Headline]:
    """Cohort, privacy, model, and downstream use at a glance; only what is there."""
    summary, privacy = view.summary, view.privacy
    found: list[Headline] = []
    sites = summary.sites
    if sites:
        if any(site.patients is None for site in sites):
            # A site of a federation tells how many patients it trains on, and the rest only with its results.
            trained = sum(site.parts.train for site in sites)
            found.append(Headline("Training patients", count(trained), f"{len(sites)} sites"))
        else:
            patients = sum(site.patients or 0 for site in sites)
            images = sum(site.images or 0 for site in sites)
            found.append(Headline("Patients", count(patients), f"{len(sites)} sites, {count(images)} images"))
    if privacy and not is_private(privacy.mode):
        found.append(Headline("Privacy loss \u03b5", "\u221e", "no differential privacy"))
    elif privacy:
        unit = f"per {privacy.unit}, largest of all sites"
        found.append(Headline("Privacy loss \u03b5", epsilon(privacy.epsilon), unit))
    if view.study is not None and not view.translates and "samples" not in view.missing:
        family = summary.model.family if summary.model else "not recorded"
        found.append(Headline("Synthetic images", count(view.study.synthesis.images), f"family {family}"))
    return found + _downstream(view.evaluation)


def _downstream(evaluation: EvaluationFile | None) -> list[Headline]:
    """The one number of what the release is worth: Dice of pairs, error of a translation, AUROC of images."""
    if evaluation is None:
        return []
    for id, name, title in (
        ("segmentation-TSTR", "Dice", "Segmentation Dice"),
        ("translation-model", "MAE", "Error of the model"),
    ):
        for rows, of in ((evaluation.pooled, "all test patients"), (evaluation.rows, "mean over sites")):
            row = next((row for row in rows if row.id == id), None)
            value = row.get(name) if row else None
            if row and value and value.value is not None:
                note = f"{row.title}, {name}, {of}; interval {interval(value.low, value.high)}"
                return [Headline(title, number(value.value), note)]
    for rows, of in ((evaluation.pooled, "all test patients"), (evaluation.rows, "mean over sites")):
        row = next((row for row in rows if row.id == "TSTR"), None)
        auroc = row.get("AUROC") if row else None
        if row and auroc and auroc.value is not None:
            note = f"{row.title}, {of}; interval {interval(auroc.low, auroc.high)}"
            return [Headline("Downstream AUROC", number(auroc.value), note)]
    return []


def limits(view: RunView) -> list[str]:
    """The stages' own limits, each once, then those that always hold."""
    files = (view.privacy, view.audit, view.evaluation)
    own = [limit for file in files if file for limit in file.limits]
    return list(dict.fromkeys([*own, *FIXED_LIMITS]))
