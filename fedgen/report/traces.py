"""Where a number of the page comes from: a file of the run, a part of it, and the id of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from fedgen.run.row import Row

#: Of the ids of rows over all patients in one place, where they stand beside those of the sites.
TOGETHER = "-together"
#: And in their titles.
ALL_TOGETHER = ", all patients together"


@dataclass(frozen=True)
class Drawing:
    """A chart with what is to be read beside it.

    Attributes:
        title: above it.
        caption: the sentence under it.
        svg: the chart; None where there is nothing to draw, and the caption says why.
        trace: where its numbers come from.
        legend: name and colour of each line; empty where there is one, or where the chart says it.
    """

    title: str
    caption: str
    svg: ET.Element | None
    trace: str
    legend: tuple[tuple[str, str], ...] = ()


def place(row: Row) -> str:
    """`pooled/TSTR` or `rows/TSTR`: the list of the file that a row is in, and its id."""
    if row.id.endswith(TOGETHER):
        return f"pooled/{row.id.removesuffix(TOGETHER)}"
    return f"rows/{row.id}"


def trace(file: str, *rows: Row) -> str:
    """`audit.json pooled/copy-detection`: the file and the place of each row in it."""
    return " ".join([file, *dict.fromkeys(place(row) for row in rows)])


def once(rows: Sequence[Row]) -> list[Row]:
    """Each row once: over all patients together where that is known, else over the sites."""
    together = {row.id.removesuffix(TOGETHER) for row in rows if row.id.endswith(TOGETHER)}
    return [row for row in rows if row.id.endswith(TOGETHER) or row.id not in together]


def short(row: Row) -> str:
    """The title of a row where it is clear over whom it is."""
    return row.title.removesuffix(ALL_TOGETHER)
