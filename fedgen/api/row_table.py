"""Rows of evidence as a flat table: one line a value, of all sites or of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fedgen.run.row import Row, SitePart

#: Whose patients a joined value is of, and one that was measured over all of them in one place.
SITES, POOLED = "sites", "pooled"


class ValueLine(NamedTuple):
    """One value.

    Attributes:
        group: of the row.
        row: its id.
        title: for people.
        where: `sites` joined, all patients `pooled` in one place, or a site's name.
        value: name of the value, such as "AUC"; empty where the row only judges.
        estimate, low, high, std, chance: as of `fedgen.run.row.Value`.
        verdict: of the row at that place; None where it judges nothing.
    """

    group: str
    row: str
    title: str
    where: str
    value: str
    estimate: float | None
    low: float | None
    high: float | None
    std: float | None
    chance: float | None
    verdict: str | None


def value_lines(rows: Iterable[Row], pooled: Iterable[Row] = ()) -> list[ValueLine]:
    """Every value of the rows, in their order: over the sites, of each site, and of all patients in one place."""
    found: list[ValueLine] = []
    for row in rows:
        found += _lines(row, row, SITES)
        for part in row.per_site:
            found += _lines(row, part, part.site)
    for row in pooled:
        found += _lines(row, row, POOLED)
    return found


def _lines(row: Row, part: Row | SitePart, where: str) -> Iterator[ValueLine]:
    verdict = None if part.verdict is None else part.verdict.value
    place = (row.group, row.id, row.title, where)
    for value in part.values:
        numbers = (value.value, value.low, value.high, value.std, value.chance)
        yield ValueLine(*place, value.name, *numbers, verdict)
    if not part.values and verdict is not None:
        yield ValueLine(*place, "", None, None, None, None, None, verdict)
