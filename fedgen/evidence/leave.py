"""The one place that withholds: from what a site measured to what may leave it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fedgen.evidence.downstream.cells import MINIMUM_PATIENTS
from fedgen.run.evidence_files import Audited, AuditNumbers, Evaluated, EvaluationNumbers
from fedgen.run.row import CANARIES, SYNTHETIC, Finding, Row

WITHHELD = "Too few patients: the numbers stay at the site."
#: A count behind a word, such as the patients of a class.
_COUNT = re.compile(r" \(\d+\)")


def leave(rows: Iterable[Row], least: int) -> tuple[Row, ...]:
    """The rows of one site as they may leave it.

    A single site is its own pool, so the part of each site goes. Statistics of a handful of patients judge nothing
    and say much of each: a row that is about fewer than `least` patients, images or pairs, or that does not say of
    how many it is about, loses its values, its small counts and its note. Counts in notes stay at the site.

    Args:
        rows: of one site.
        least: the smallest count of real patients, images or pairs behind a number that leaves.
    """
    return tuple(_left(row, least) for row in rows)


def _left(row: Row, least: int) -> Row:
    real = [count for name, count in row.n.items() if not (name.startswith(SYNTHETIC) or name == CANARIES)]
    # A row about canaries alone is about nobody.
    few = (
        not (real == [] and CANARIES in row.n) and min(real, default=0) < least and bool(row.values or row.n)
    )
    # Made anew, field by field, so that nothing else goes along.
    return Row(
        id=row.id,
        title=row.title,
        group=row.group,
        about=row.about,
        values=() if few else tuple(value.model_copy(update={"without": ()}) for value in row.values),
        n={name: n for name, n in row.n.items() if n >= least or name.startswith((SYNTHETIC, CANARIES))},
        findings=tuple(Finding(verdict=found.verdict, sentence=found.sentence) for found in row.findings),
        note=WITHHELD if few else row.note and _COUNT.sub("", row.note),
    )


def leaving_audit(found: Audited, minimum_patients: int) -> AuditNumbers:
    """A site's audit as it may leave it; `minimum_patients` as the study's section `audit` has it."""
    return AuditNumbers(**{**dict(found), "rows": leave(found.rows, minimum_patients)})


def leaving_evaluation(found: Evaluated) -> EvaluationNumbers:
    """A site's evaluation as it may leave it."""
    return EvaluationNumbers(**{**dict(found), "rows": leave(found.rows, MINIMUM_PATIENTS)})
