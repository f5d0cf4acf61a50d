"""How like the images of several runs are to real ones: which numbers may stand together, and their means.

Two measures are drawn, the same of every extractor. MMD is the distance: it is unbiased, so that it does not fall as
images are added, and bounded, so that one axis holds a release that failed and one that did not. FID is biased and, of
fewer images than features, ill-conditioned; KID has no upper end. Coverage is the diversity, the share of real images
that have a synthetic one within reach: no distance says whether a kind of image is missing or all are a little off, and
unlike recall it does not rise by outliers (Naeem et al. 2020, section 3). The other measures are in the table.

Numbers stand together where the features are the same and behind each value are about as many images, since FID and the
shares depend on how many there are. Exactly as many would part runs of one study: with another seed other patients are
tested, who have a few images more or less. So up to `LIKE` times as many are as many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from fedgen.evidence.join import weighted_interval
from fedgen.evidence.metrics.fidelity_words import (
    COVERAGE,
    FEATURES,
    FID,
    FLOOR,
    GROUP,
    MMD,
    PRECISION,
    RECALL,
    VALUE,
    identified,
)
from fedgen.report.compare_file import (
    Averaged,
    AveragedFidelity,
    ComparedRun,
    FidelityNumber,
    MeasuredFidelity,
)
from fedgen.run.evidence_files import EvaluationFile
from fedgen.run.row import Row, SitePart

DRAWN = (MMD, COVERAGE)
#: In the order of the table.
MEASURES = (MMD, FID, PRECISION, RECALL, COVERAGE)
#: Largest factor between the numbers of images of runs that stand together.
LIKE = 1.25
#: The name of a row's count.
_N = "real_images"


def fidelity_of(evaluation: EvaluationFile | None) -> tuple[MeasuredFidelity, ...]:
    """By each extractor, of all patients in one place where a run has them, else the mean over its sites.

    Left out is an extractor whose features are not identified, or are others at other sites.
    """
    if evaluation is None:
        return ()
    found = (
        _measured(extractor, features, evaluation)
        for extractor, features in _extractors((*evaluation.rows, *evaluation.pooled)).items()
    )
    return tuple(each for each in found if each is not None)


def _extractors(rows: Iterable[Row]) -> dict[str, str]:
    known: dict[str, set[str]] = {}
    for row in rows:
        if row.group == GROUP and row.id.startswith(FEATURES):
            notes = (row.note, *(part.note for part in row.per_site))
            said = {features for note in notes if (features := identified(note)) is not None}
            known.setdefault(row.id.removeprefix(FEATURES), set()).update(said)
    return {extractor: said.pop() for extractor, said in known.items() if len(said) == 1}


def _measured(extractor: str, features: str, evaluation: EvaluationFile) -> MeasuredFidelity | None:
    together = {row.id: row for row in evaluation.pooled}
    apart = {row.id: row for row in evaluation.rows}
    ids = {measure: f"{measure}-{extractor}" for measure in MEASURES}
    own = {measure: together[id] for measure, id in ids.items() if id in together and _known(together[id])}
    if own:
        numbers = tuple(_mean_over_sites(measure, [row]) for measure, row in own.items())
        n = max(row.n.get(_N, 0) for row in own.values())
        return MeasuredFidelity(
            extractor=extractor, features=features, over="all patients", sites=(), n=n, numbers=numbers
        )
    parts = {
        measure: of_sites
        for measure, id in ids.items()
        if id in apart and (of_sites := [part for part in apart[id].per_site if _known(part)])
    }
    # Of the sites that have every measure: a mean over other sites is another number.
    sites = (
        sorted(set.intersection(*({part.site for part in each} for each in parts.values()))) if parts else []
    )
    if not sites:
        return None
    told = {measure: [part for part in each if part.site in sites] for measure, each in parts.items()}
    return MeasuredFidelity(
        extractor=extractor,
        features=features,
        over="mean over sites",
        sites=tuple(sites),
        n=round(fmean(part.n.get(_N, 0) for each in told.values() for part in each)),
        numbers=tuple(_mean_over_sites(measure, each) for measure, each in told.items()),
    )


def _known(part: Row | SitePart) -> bool:
    value = part.get(VALUE)
    return value is not None and value.value is not None


def _mean_over_sites(measure: str, parts: Sequence[Row | SitePart]) -> FidelityNumber:
    """The mean of one number a site; the sites' patients are others, so their intervals are independent."""
    found = [(part.get(VALUE), part.get(FLOOR)) for part in parts]
    estimates = [
        (float(own.value), own.low, own.high) for own, _ in found if own is not None and own.value is not None
    ]
    floors = [floor.value for _, floor in found if floor is not None and floor.value is not None]
    value, low, high = weighted_interval(estimates, [1.0] * len(estimates))
    return FidelityNumber(
        measure=measure,
        value=value,
        low=low,
        high=high,
        floor=fmean(floors) if len(floors) == len(estimates) else None,
    )


@dataclass(frozen=True)
class _Place:
    """Where a number may stand: beside others of an equal place."""

    question: str
    extractor: str
    features: str
    over: str
    sites: tuple[str, ...]


def averaged_fidelity(
    runs: Sequence[ComparedRun], averaged: Sequence[Averaged]
) -> tuple[AveragedFidelity, ...]:
    """Numbers that may stand together, one after the other; of runs that differ in the seed alone their mean.

    Args:
        runs: with their fidelity.
        averaged: the studies of these, in the order of the table.
    """
    places: dict[_Place, list[tuple[ComparedRun, MeasuredFidelity]]] = {}
    for run in runs:
        for own in run.fidelity:
            place = _Place(run.question, own.extractor, own.features, own.over, own.sites)
            places.setdefault(place, []).append((run, own))
    return tuple(
        each
        for found in places.values()
        for alike in _of_like_size(found)
        for study in averaged
        if (each := _of_study(study, alike)) is not None
    )


def _of_like_size(
    found: Sequence[tuple[ComparedRun, MeasuredFidelity]],
) -> list[list[tuple[ComparedRun, MeasuredFidelity]]]:
    sets: list[list[tuple[ComparedRun, MeasuredFidelity]]] = []
    for run, own in sorted(found, key=lambda each: -each[1].n):
        if not sets or sets[-1][0][1].n > LIKE * own.n:
            sets.append([])
        sets[-1].append((run, own))
    return sets


def _of_study(
    study: Averaged, alike: Sequence[tuple[ComparedRun, MeasuredFidelity]]
) -> AveragedFidelity | None:
    mine = sorted(
        ((run, own) for run, own in alike if run.run in study.runs),
        key=lambda each: study.runs.index(each[0].run),
    )
    if not mine:
        return None
    first = mine[0][1]
    numbers = {
        measure: [number for _, own in mine for number in own.numbers if number.measure == measure]
        for measure in MEASURES
    }
    return AveragedFidelity(
        question=study.question,
        line=study.line,
        name=study.name,
        asked=study.asked,
        epsilon=max((run.epsilon for run, _ in mine if run.epsilon is not None), default=None),
        extractor=first.extractor,
        features=first.features,
        over=first.over,
        sites=first.sites,
        fewest=min(own.n for _, own in alike),
        most=max(own.n for _, own in alike),
        runs=tuple(run.run for run, _ in mine),
        numbers=tuple(_mean_over_runs(each) for each in numbers.values() if each),
    )


def _mean_over_runs(numbers: Sequence[FidelityNumber]) -> FidelityNumber:
    values = [each.value for each in numbers]
    floors = [each.floor for each in numbers if each.floor is not None]
    return FidelityNumber(
        measure=numbers[0].measure,
        value=fmean(values),
        low=min((each.low for each in numbers if each.low is not None), default=None),
        high=max((each.high for each in numbers if each.high is not None), default=None),
        floor=fmean(floors) if floors else None,
        runs=len(values),
        std=stdev(values) if len(values) > 1 else None,
    )
