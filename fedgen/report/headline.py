"""The few numbers at the top of a report, and the limits at its end."""

from __future__ import annotations

from dataclasses import dataclass

from fedgen.report.numbers import count, epsilon, interval, number
from fedgen.run.evidence_files import EVALUATION, EvaluationFile
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.summary import RunSummary
from fedgen.run_view import RunView
from fedgen.study.modes import is_private

#: True of every run, whatever its results.
FIXED_LIMITS = (
    "For research only: nothing here supports a diagnosis, and no synthetic image may be used to make one.",
    "An audit speaks of the attacks that were run on this model and these images, with the intervals shown; "
    "a stronger attack may exist, and the decision to release stays with each data controller.",
)


_SITES, _EPSILON = f"{RunSummary.name} sites", f"{PrivacyFile.name} epsilon"


@dataclass(frozen=True)
class Headline:
    """One large number, its name, a short note, and where it comes from."""

    name: str
    value: str
    note: str
    trace: str


def headlines(view: RunView) -> list[Headline]:
    """Cohort, privacy, model, and downstream use at a glance; only what is there."""
    summary, privacy = view.summary, view.privacy
    found: list[Headline] = []
    sites = summary.sites
    if sites:
        if any(site.patients is None for site in sites):
            # A site of a federation tells how many patients it trains on, and the rest only with its results.
            trained = sum(site.parts.train for site in sites)
            found.append(Headline("Training patients", count(trained), f"{len(sites)} sites", _SITES))
        else:
            patients = sum(site.patients or 0 for site in sites)
            images = sum(site.images or 0 for site in sites)
            note = f"{len(sites)} sites, {count(images)} images"
            found.append(Headline("Patients", count(patients), note, _SITES))
    if privacy and not is_private(privacy.mode):
        found.append(Headline("Privacy loss \u03b5", "\u221e", "no differential privacy", _EPSILON))
    elif privacy:
        unit = f"per {privacy.unit}, largest of all sites"
        found.append(Headline("Privacy loss \u03b5", epsilon(privacy.epsilon), unit, _EPSILON))
    if view.study is not None and not view.translates and "samples" not in view.missing:
        family = summary.model.family if summary.model else "not recorded"
        made = count(view.study.synthesis.images)
        found.append(Headline("Synthetic images", made, f"family {family}", "study.yaml synthesis"))
    return found + _downstream(view.evaluation)


#: A row, its number, and what it is called here, in the order in which they are looked for.
WORTH = (
    ("segmentation-TSTR", "Dice", "Segmentation Dice"),
    ("translation-model", "MAE", "Error of the model"),
    ("TSTR", "AUROC", "Downstream AUROC"),
)


def _downstream(evaluation: EvaluationFile | None) -> list[Headline]:
    """The one number of what the release is worth: Dice of pairs, error of a translation, AUROC of images."""
    if evaluation is None:
        return []
    for id, name, title in WORTH:
        for part, rows, of in (
            ("pooled", evaluation.pooled, "all test patients"),
            ("rows", evaluation.rows, "mean over sites"),
        ):
            row = next((row for row in rows if row.id == id), None)
            value = row.get(name) if row else None
            if row and value and value.value is not None:
                known = f"interval {interval(value.low, value.high)}"
                what = row.title if name in title else f"{row.title}, {name}"
                where = f"{EVALUATION} {part}/{id}"
                return [Headline(title, number(value.value), f"{what}, {of}; {known}", where)]
    return []


def limits(view: RunView) -> list[str]:
    """The stages' own limits, each once, then those that always hold."""
    files = (view.privacy, view.audit, view.evaluation)
    own = [limit for file in files if file for limit in file.limits]
    return list(dict.fromkeys([*own, *FIXED_LIMITS]))
