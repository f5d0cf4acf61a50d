"""From site to site: a square a pair of hospitals, the darker the better what one taught holds at the other."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from fedgen.report.numbers import number
from fedgen.report.svg import ACCENT, INK, LINE, MUTED, PAPER, WIDTH, canvas, element
from fedgen.report.traces import Drawing, short, trace
from fedgen.run.evidence_files import EVALUATION
from fedgen.run.row import Row, Value

GROUP, ROW = "between_sites", "trained-on-"
#: A score by chance alone, which is drawn as nothing, and the best.
CHANCE, BEST = 0.5, 1.0
_NAMES, _HEAD = 104.0, 26.0
#: Letters of a name that fit beside the squares.
_LETTERS = 16


def heat_drawing(rows: Sequence[Row]) -> Drawing | None:
    """The matrix of the rows `trained-on-*`; None where there are none."""
    found = [row for row in rows if row.group == GROUP and row.id.startswith(ROW) and row.per_site]
    if not found:
        return None
    sites = [part.site for part in found[0].per_site]
    cells = [
        [
            next((part.values[0] for part in row.per_site if part.site == site and part.values), None)
            for site in sites
        ]
        for row in found
    ]
    named = next((value.name for line in cells for value in line if value), "")
    names = [_taught(short(row)) for row in found]
    return Drawing(
        "From site to site",
        f"Down: whose real patients taught; along: whose test patients were judged. {named}; chance is blank, 1 is "
        "full.",
        heat_map(names, sites, cells),
        trace(EVALUATION, *found),
    )


def _taught(title: str) -> str:
    return title.removeprefix("Trained on ").removesuffix(" alone")


def heat_map(
    names: Sequence[str], sites: Sequence[str], cells: Sequence[Sequence[Value | None]]
) -> ET.Element:
    """Squares with their numbers, a row a teacher and a column a judge.

    Args:
        names: of the rows.
        sites: of the columns.
        cells: a line of values for each row; None where nothing is known.
    """
    side = min(64.0, (WIDTH - _NAMES) / max(1, len(sites)))
    tall = min(side, 40.0)
    height = _HEAD + tall * len(names) + 4
    svg = canvas(WIDTH, height, "score of each site's classifier at each site")
    for column, site in enumerate(sites):
        room = int(side / 6.2)
        x = _NAMES + side * (column + 0.5)
        head = element(
            "text", svg, _short(site, room), x=x, y=_HEAD - 9, text_anchor="middle", style=f"fill:{MUTED}"
        )
        element("title", head, site)
    for line, name in enumerate(names):
        top = _HEAD + tall * line
        label = element("text", svg, _short(name, _LETTERS), x=0.0, y=top + tall / 2 + 4, style=f"fill:{INK}")
        element("title", label, name)
        for column, value in enumerate(cells[line]):
            _cell(svg, _NAMES + side * column, top, side, tall, value, f"{name} at {sites[column]}")
    return svg


def _cell(
    svg: ET.Element, x: float, y: float, wide: float, tall: float, value: Value | None, name: str
) -> None:
    known = None if value is None else value.value
    depth = 0.0 if known is None else min(1.0, max(0.0, (known - CHANCE) / (BEST - CHANCE)))
    box = element("rect", svg, x=x + 1, y=y + 1, width=wide - 2, height=tall - 2, rx=2)
    box.set("style", f"fill:{ACCENT};fill-opacity:{0.9 * depth:.2f};stroke:{LINE}")
    element("title", box, f"{name}: {number(known)}")
    ink = PAPER if depth > 0.55 else INK
    text = number(known) if wide >= 30 else ""
    element("text", svg, text, x=x + wide / 2, y=y + tall / 2 + 4, text_anchor="middle", style=f"fill:{ink}")


def _short(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: max(1, letters - 1)]}\u2026"
