"""Several runs side by side: which may be compared, which are one study with other seeds, and what each is worth.

Runs are compared where data, task and judge are the same: the sections `data`, `task` and `evaluation` of the study,
and how many patients each site tests with. They are one study, and averaged, where nothing but the seed differs; they
are one line of the curve where nothing but the seed and the promised epsilon differ. All else is told apart.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from fedgen.evidence.metrics.fidelity_words import GROUP
from fedgen.report.compare_fidelity import averaged_fidelity, fidelity_of
from fedgen.report.compare_file import Averaged, ComparedRun, CompareFile, Worth
from fedgen.report.headline import WORTH
from fedgen.report.rank_agreement import RankAgreement, rank_agreement
from fedgen.run.evidence_files import EvaluationFile
from fedgen.run.row import Row, Value, worst
from fedgen.run_view import RunView
from fedgen.schema.canonical import canonical
from fedgen.study.modes import is_private

#: Row of a worth, the row of real training beside it, and the row of a control.
BESIDE = {
    "TSTR": ("TRTR", "site-alone"),
    "segmentation-TSTR": ("segmentation-TRTR", "segmentation-site-alone"),
    "translation-model": (None, "translation-linear"),
}
#: Sections that decide what is measured.
_MEASURED = ("data", "task", "evaluation")
#: Keys named to tell two lines of one family apart.
_KEYS = 3


def compare(views: Iterable[RunView]) -> CompareFile:
    """The runs, those that differ in the seed alone averaged, and whether extractors order them alike.

    Raises:
        DataError: a file of a run is damaged.
        StudyError: a run has no study that fits this version.
    """
    told = list(views)
    studies = {view.name: _plain(view) for view in told}
    runs = tuple(_compared(view, studies[view.name]) for view in told)
    names = _names(runs, studies)
    groups: dict[tuple[str, str, float | None], list[ComparedRun]] = {}
    for run in runs:
        groups.setdefault((run.question, run.line, run.asked), []).append(run)
    averaged = [_averaged(names[line], found) for (_, line, _), found in groups.items()]
    averaged.sort(key=lambda each: (each.question, each.name, math.inf if each.asked is None else each.asked))
    agreement: list[RankAgreement] = []
    for question in dict.fromkeys(run.question for run in runs):
        alike = {run.run for run in runs if run.question == question}
        agreement += rank_agreement(
            question, {view.name: view.evaluation for view in told if view.name in alike}
        )
    return CompareFile(
        runs=runs,
        averaged=tuple(averaged),
        fidelity=averaged_fidelity(runs, averaged),
        agreement=tuple(agreement),
    )


def _plain(view: RunView) -> dict[str, Any]:
    study = view.study
    return {} if study is None else study.model_dump(mode="json")


def _compared(view: RunView, study: dict[str, Any]) -> ComparedRun:
    summary, privacy, audit = view.summary, view.privacy, view.audit
    mode = str(study.get("privacy", {}).get("mode", "unknown"))
    private = is_private(mode)
    worth, fidelity = _worth(view.evaluation), fidelity_of(view.evaluation)
    missing = [f"stage {stage}" for stage in view.missing_stages]
    if view.evaluation is not None and worth is None:
        missing.append("a score of use")
    if (
        view.evaluation is not None
        and not fidelity
        and any(row.group == GROUP for row in view.evaluation.rows)
    ):
        missing.append("a measure of fidelity")
    return ComparedRun(
        run=view.name,
        study=str(study.get("study", {}).get("name", view.name)),
        question=_question(view, study),
        line=_short_hash(_without_seed_and_epsilon(study)),
        family=str(study.get("model", {}).get("family", "unknown")),
        mode=mode,
        seed=int(study.get("study", {}).get("seed", 0)),
        asked=float(study["privacy"]["epsilon"]) if private else None,
        epsilon=privacy.epsilon if private and privacy else None,
        delta=privacy.delta if private and privacy else None,
        sites=len(summary.sites),
        patients=sum(site.parts.train for site in summary.sites),
        verdict=audit.verdict if audit else None,
        worth=worth,
        fidelity=fidelity,
        missing=tuple(missing),
    )


def _question(view: RunView, study: Mapping[str, Any]) -> str:
    tested = sorted((site.site, site.parts.test) for site in view.summary.sites)
    # A mean over sites is another number than the score of all patients together.
    return _short_hash([{name: study.get(name) for name in _MEASURED}, tested, view.federated])


def _without_seed_and_epsilon(study: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: dict(section) for name, section in study.items()}
    for section, key in (
        ("study", "seed"),
        ("study", "name"),
        ("study", "description"),
        ("privacy", "epsilon"),
    ):
        kept.get(section, {}).pop(key, None)
    return kept


def _short_hash(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:12]


def _worth(evaluation: EvaluationFile | None) -> Worth | None:
    if evaluation is None:
        return None
    for id, name, _ in WORTH:
        for rows, over in ((evaluation.pooled, "all test patients"), (evaluation.rows, "mean over sites")):
            value = _known(rows, id, name)
            if value is not None and value.value is not None:
                real, control = (_number(rows, beside, name) for beside in BESIDE[id])
                return Worth(
                    measure=f"{id} {name}", over=over, value=value.value, low=value.low, high=value.high,
                    real=real, control=control,
                )  # fmt: skip
    return None


def _known(rows: Sequence[Row], id: str, name: str) -> Value | None:
    row = next((row for row in rows if row.id == id), None)
    return None if row is None else row.get(name)


def _number(rows: Sequence[Row], id: str | None, name: str) -> float | None:
    found = None if id is None else _known(rows, id, name)
    return None if found is None or found.value is None else float(found.value)


def _names(runs: Sequence[ComparedRun], studies: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Line to its name; lines of one family and mode are told apart by the first keys in which they differ."""
    by_name: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for run in runs:
        plain = _flat(_without_seed_and_epsilon(studies[run.run]))
        by_name.setdefault((run.question, f"{run.family}, {run.mode}"), {})[run.line] = plain
    named = {}
    for (_, name), lines in by_name.items():
        differing = [
            key
            for key in sorted({key for flat in lines.values() for key in flat})
            if len({canonical(flat.get(key)) for flat in lines.values()}) > 1
        ]
        for line, flat in lines.items():
            told = [f"{key.rpartition('.')[2]} {flat.get(key)}" for key in differing[:_KEYS]]
            named[line] = "; ".join([name, *told])
    return named


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    inner = ((f"{path}.{key}" if path else str(key), each) for key, each in value.items())
    return {key: leaf for name, each in inner for key, leaf in _flat(each, name).items()}


def _averaged(name: str, runs: Sequence[ComparedRun]) -> Averaged:
    first = runs[0]
    known = [run.worth for run in runs if run.worth is not None]
    verdicts = [run.verdict for run in runs if run.verdict is not None]
    spent = [run.epsilon for run in runs if run.epsilon is not None]
    values = [each.value for each in known]
    return Averaged(
        name=name,
        question=first.question,
        line=first.line,
        asked=first.asked,
        epsilon=max(spent, default=None),
        runs=tuple(run.run for run in runs),
        scored=len(known),
        measure=known[0].measure if known else None,
        over=known[0].over if known else None,
        value=fmean(values) if values else None,
        std=stdev(values) if len(values) > 1 else None,
        low=min((each.low for each in known if each.low is not None), default=None),
        high=max((each.high for each in known if each.high is not None), default=None),
        real=_mean(each.real for each in known),
        control=_mean(each.control for each in known),
        verdict=worst(*verdicts) if len(verdicts) == len(runs) else None,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
