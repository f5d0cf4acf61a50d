"""Whether extractors of features put runs in one order: of two that do not, at least one judges something else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Literal

from fedgen.evidence.metrics.fidelity_words import FID, KID, VALUE
from fedgen.run.evidence_files import EvaluationFile
from fedgen.schema.section import Section

#: Distances that every extractor has.
MEASURES = (FID, KID)
#: Fewer runs than this have hardly an order.
LEAST_RUNS = 3


class RankAgreement(Section):
    """How alike two extractors order the runs of one question.

    Attributes:
        question: as of each run.
        measure: the distance that orders them.
        one, other: extractors.
        over: all patients in one place, or the mean over sites.
        runs: how many have both numbers.
        tau: Kendall's tau-b, from -1 (the other way round) to 1 (the same order).
        p: that orders without relation agree or disagree as much; exact of few runs without ties.
    """

    question: str
    measure: str
    one: str
    other: str
    over: Literal["all patients", "mean over sites"]
    runs: int
    tau: float
    p: float


def distances(evaluation: EvaluationFile | None) -> dict[tuple[str, str], tuple[float, bool]]:
    """By measure and extractor the distance to real images, and whether it is of all patients in one place."""
    found: dict[tuple[str, str], tuple[float, bool]] = {}
    if evaluation is None:
        return found
    for rows, together in ((evaluation.rows, False), (evaluation.pooled, True)):
        for row in rows:
            measure, _, extractor = row.id.partition("-")
            value = row.get(VALUE)
            if measure in MEASURES and value is not None and value.value is not None:
                found[measure, extractor] = (float(value.value), together)
    return found


def rank_agreement(question: str, runs: Mapping[str, EvaluationFile | None]) -> tuple[RankAgreement, ...]:
    """Of every two extractors that measured the same `LEAST_RUNS` runs at least; none where all distances are equal.

    Args:
        question: of these runs.
        runs: their evaluations by name.
    """
    known = [distances(evaluation) for evaluation in runs.values()]
    made = []
    for measure in MEASURES:
        extractors = sorted({name for each in known for kind, name in each if kind == measure})
        for one, other in combinations(extractors, 2):
            pairs = [
                (each[measure, one], each[measure, other])
                for each in known
                if (measure, one) in each and (measure, other) in each
            ]
            if len(pairs) < LEAST_RUNS or len({together for pair in pairs for _, together in pair}) > 1:
                continue
            # Here, since it takes a second, and most comparisons have no order to tell.
            from scipy.stats import kendalltau

            found = kendalltau([x for (x, _), _ in pairs], [y for _, (y, _) in pairs])
            if not math.isfinite(found.statistic):
                continue
            made.append(
                RankAgreement(
                    question=question,
                    measure=measure,
                    one=one,
                    other=other,
                    over="all patients" if pairs[0][0][1] else "mean over sites",
                    runs=len(pairs),
                    tau=float(found.statistic),
                    p=float(found.pvalue),
                )
            )
    return tuple(made)
