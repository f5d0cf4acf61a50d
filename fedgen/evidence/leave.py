"""The one place that withholds: from what a site measured to what may leave it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fedgen.evidence.downstream.cells import MINIMUM_PATIENTS
from fedgen.evidence.noised.block import NoisedRow
from fedgen.run.evidence_files import Audited, AuditNumbers, Evaluated, EvaluationNumbers
from fedgen.run.row import CANARIES, SYNTHETIC, WITHHELD, Finding, Row, Verdict

UNPAID = "Nothing of this leaves the site, because the study pays for noised sums alone (evidence.privacy)."
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


def leave_noised(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The rows of one site as they may leave it where the study pays for its evidence with noise.

    A row of noised sums leaves as it is. Any other loses everything but its name, its verdict too: it depends on
    patients, and nothing pays for it.
    """
    return tuple(_paid(row) if isinstance(row, NoisedRow) else _unpaid(row) for row in rows)


def _paid(row: NoisedRow) -> Row:
    return Row(**dict(row))


def _unpaid(row: Row) -> Row:
    judged = (Finding(verdict=Verdict.INSUFFICIENT, sentence=UNPAID),) if row.findings else ()
    return Row(id=row.id, title=row.title, group=row.group, findings=judged, note=UNPAID)


def leaving_audit(found: Audited, minimum_patients: int, *, paid: bool = False) -> AuditNumbers:
    """A site's audit as it may leave it.

    Args:
        found: as measured, without noise.
        minimum_patients: as the study's section `audit` has it.
        paid: whether the study pays for its evidence, so that nothing without noise leaves.
    """
    if paid:
        return AuditNumbers(**{**dict(found), "rows": leave_noised(found.rows), "n": {}, "limits": ()})
    return AuditNumbers(**{**dict(found), "rows": leave(found.rows, minimum_patients)})


def leaving_evaluation(found: Evaluated, *, paid: bool = False) -> EvaluationNumbers:
    """A site's evaluation as it may leave it; `paid` as of `leaving_audit`."""
    if paid:
        return EvaluationNumbers(**{**dict(found), "rows": leave_noised(found.rows), "n": {}, "limits": ()})
    return EvaluationNumbers(**{**dict(found), "rows": leave(found.rows, MINIMUM_PATIENTS)})
