"""What could not have been seen: the smallest effect that each audit would have found, from its own rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fedgen.report.numbers import number
from fedgen.report.traces import once, short, trace
from fedgen.run.evidence_files import AUDIT
from fedgen.run.row import Row, SitePart, Value

#: Names of values that say how little, or of a lower bound how much, a measurement could have shown.
_NAMED = re.compile(r"\b(detectable|reportable)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Unseen:
    """One such effect.

    Attributes:
        audit: title of the row.
        what: name of the value.
        together: over all patients in one place, or over the sites; a dash where nobody has it.
        sites: the range over single sites; None where they have none.
        note: of the value.
        trace: where it comes from.
    """

    audit: str
    what: str
    together: str
    sites: str | None
    note: str | None
    trace: str


def unseen(rows: Sequence[Row]) -> list[Unseen]:
    """Of each audit that says so; over all patients together where they are, and over the single sites.

    Args:
        rows: of the audit as the page shows them.
    """
    return [_of(row, name) for row in once(rows) for name in _names(row)]


def _names(row: Row) -> list[str]:
    values = [value for part in (row, *row.per_site) for value in part.values]
    return list(dict.fromkeys(value.name for value in values if _NAMED.search(value.name)))


def _of(row: Row, name: str) -> Unseen:
    whole = row.get(name)
    parts = [value for part in row.per_site if (value := _known(part, name))]
    numbers = sorted(value.value for value in parts if value.value is not None)
    least, most = (number(numbers[0]), number(numbers[-1])) if numbers else ("", "")
    notes = [value.note for value in (whole, *parts) if value and value.note]
    return Unseen(
        audit=short(row),
        what=name,
        together=number(whole.value if whole else None),
        sites=None if not numbers else least if least == most else f"{least} to {most}",
        note=notes[0] if notes else None,
        trace=trace(AUDIT, row),
    )


def _known(part: SitePart, name: str) -> Value | None:
    value = part.get(name)
    return value if value is not None and value.value is not None else None
