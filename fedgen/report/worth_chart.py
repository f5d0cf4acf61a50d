"""How much is enough: scores by how many synthetic images were added, and by how few real patients there are.

Each curve stands beside its controls of the same count, and their paired differences stand beside it: two curves whose
intervals overlap may differ surely, since they are of the same patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedgen.report.numbers import interval, number
from fedgen.report.plot import Plot, Scale
from fedgen.report.svg import MUTED
from fedgen.report.traces import TOGETHER, Drawing, trace
from fedgen.run.evidence_files import EVALUATION
from fedgen.run.row import Row, Value

#: From this factor on between the ends of an axis, equal steps are equal factors.
_LOGARITHMIC = 10.0
#: Between marks at one place of the axis, as a share of its length.
_NUDGE = 0.012


@dataclass(frozen=True)
class _Line:
    """A row as a line: its id without the place, its name in the legend, its colour."""

    id: str
    name: str
    ink: str


@dataclass(frozen=True)
class _Kind:
    """One of the two curves.

    Attributes:
        group: of its rows.
        title: above it.
        lines, differences: what is drawn in each of its two charts.
        before, after: what stands around the number in a value's name.
        axis: the label of the horizontal axis.
        surely: the sentence on a difference whose interval is above zero, from its name and the places.
        never: and where there is none.
        about: what must be known of the curve.
    """

    group: str
    title: str
    lines: tuple[_Line, ...]
    differences: tuple[_Line, ...]
    before: str
    after: str
    axis: str
    surely: str
    never: str
    about: str = ""

    def place(self, value: Value) -> float:
        """Where a value stands on the axis."""
        return float(value.name.removeprefix(self.before).removesuffix(self.after))


_SYNTHETIC, _FIRST, _SECOND = "var(--series-1)", "var(--series-2)", "var(--series-3)"
RATIO = _Kind(
    group="ratio-curve",
    title="Real and more and more synthetic",
    lines=(
        _Line("ratio-synthetic", "synthetic added", _SYNTHETIC),
        _Line("ratio-duplicated", "control: as many real ones again, duplicated", _FIRST),
        _Line("ratio-augmented", "control: as many real ones again, augmented", _SECOND),
    ),
    differences=(
        _Line("ratio-synthetic-against-duplicated", "duplicated real ones", _FIRST),
        _Line("ratio-synthetic-against-augmented", "augmented real ones", _SECOND),
    ),
    before="ratio ",
    after="",
    axis="images added for each real one",
    surely="Synthetic images teach surely more than as many {name} at {places}",
    never="Synthetic images teach at no count surely more than as many {name}",
)
SHARE = _Kind(
    group="low-data-curve",
    title="With fewer and fewer real patients",
    lines=(
        _Line("low-data-with-synthetic", "real and all synthetic", _SYNTHETIC),
        _Line("low-data-real", "real alone", _FIRST),
    ),
    differences=(_Line("low-data-difference", "real ones alone", _SYNTHETIC),),
    before="",
    after=" %",
    axis="% of the real training patients",
    surely="Synthetic images beside real ones teach surely more than {name} at {places}",
    never="Synthetic images beside real ones teach at no share surely more than {name}",
    about=" The synthetic images were made of all training patients, also of those who are left out here.",
)


def worth_drawings(rows: Sequence[Row]) -> dict[str, list[Drawing]]:
    """The charts by the group of their rows, over all patients together and as a mean over sites, where they are known.

    Args:
        rows: of an evaluation as the page shows them.
    """
    return {kind.group: _drawings(kind, rows) for kind in (RATIO, SHARE)}


def _drawings(kind: _Kind, rows: Sequence[Row]) -> list[Drawing]:
    own = {row.id: row for row in rows if row.group == kind.group}
    made = []
    for ending, whose in ((TOGETHER, "all patients together"), ("", "mean over sites")):
        curves = [(line, own[line.id + ending]) for line in kind.lines if line.id + ending in own]
        leads = [(line, own[line.id + ending]) for line in kind.differences if line.id + ending in own]
        # Of the ratio curve, real images alone are no curve.
        if not any(kind.place(value) > 0 for _, row in curves for value in _known(row)):
            continue
        made.append(_curve(kind, curves, whose))
        if any(_known(row) for _, row in leads):
            made.append(_differences(kind, leads, whose))
    return made


def _known(row: Row) -> list[Value]:
    return [value for value in row.values if value.value is not None]


def _curve(kind: _Kind, lines: Sequence[tuple[_Line, Row]], whose: str) -> Drawing:
    plot = _plot(kind, lines, f"{kind.title}, {whose}", ())
    _draw(plot, kind, lines)
    return Drawing(
        f"{kind.title}, {whose}",
        f"AUROC of the simple judge; whiskers are intervals over test patients.{kind.about}{_not_drawn(lines)}",
        plot.svg,
        trace(EVALUATION, *(row for _, row in lines)),
        tuple((line.name, line.ink) for line, _ in lines),
    )


def _differences(kind: _Kind, lines: Sequence[tuple[_Line, Row]], whose: str) -> Drawing:
    plot = _plot(kind, lines, f"differences from the controls, {whose}", (0.0,))
    plot.line([(plot.x.low, 0.0), (plot.x.high, 0.0)], f"stroke:{MUTED};stroke-dasharray:5 4")
    _draw(plot, kind, lines)
    return Drawing(
        f"What the synthetic ones add, {whose}",
        f"{_said(kind, lines)} Differences in AUROC on the same patients; the dashed line is none. Intervals are not "
        "corrected for how many there are.",
        plot.svg,
        trace(EVALUATION, *(row for _, row in lines)),
        tuple((f"against {line.name}", line.ink) for line, _ in lines),
    )


def _plot(kind: _Kind, lines: Sequence[tuple[_Line, Row]], description: str, also: tuple[float, ...]) -> Plot:
    values = [value for _, row in lines for value in _known(row)]
    bounds = [
        bound for value in values for bound in (value.value, value.low, value.high) if bound is not None
    ]
    y = Scale.of([*bounds, *also], "difference in AUROC" if also else "AUROC")
    return Plot(_axis(kind, sorted({kind.place(value) for value in values})), y, description)


def _axis(kind: _Kind, places: Sequence[float]) -> Scale:
    log = places[0] > 0 and places[-1] / places[0] >= _LOGARITHMIC
    room = 0.06 * (places[-1] - places[0]) or 0.5
    ends = (places[0] / 1.3, places[-1] * 1.3) if log else (places[0] - room, places[-1] + room)
    # Numbers that would be printed upon each other are left out: the marks stand where they are.
    scale = Scale(*ends, tuple(places), kind.axis, log=log)
    ticks: list[float] = []
    for place in places:
        if not ticks or scale.share(place) - scale.share(ticks[-1]) > 0.09:
            ticks.append(place)
    return Scale(*ends, tuple(ticks), kind.axis, log=log)


def _draw(plot: Plot, kind: _Kind, lines: Sequence[tuple[_Line, Row]]) -> None:
    for index, (line, row) in enumerate(lines):
        points = [(_beside(plot, kind.place(value), index, len(lines)), value) for value in _known(row)]
        plot.line([(x, value.value or 0.0) for x, value in points], f"stroke:{line.ink};stroke-width:1.4")
        for x, value in points:
            title = f"{row.title}, {value.name}: {number(value.value)}, {interval(value.low, value.high)}"
            plot.mark(x, value.value or 0.0, value.low, value.high, title, ink=line.ink, radius=3.0)


def _beside(plot: Plot, place: float, index: int, of: int) -> float:
    """The place of a mark, which stands beside the others of its place and not on them."""
    shift = _NUDGE * (index - (of - 1) / 2)
    if plot.x.log:
        return place * (plot.x.high / plot.x.low) ** shift
    return place + shift * (plot.x.high - plot.x.low)


def _not_drawn(lines: Sequence[tuple[_Line, Row]]) -> str:
    """What has no mark, and why."""
    of: dict[str, list[str]] = {}
    for _, row in lines:
        for value in row.values:
            if value.value is None:
                of.setdefault(value.name, []).append(_why(row, value).removesuffix("."))
    told = [f"{name} ({', '.join(dict.fromkeys(notes)).lower()})" for name, notes in of.items()]
    return f" Not drawn: {'; '.join(told)}." if told else ""


def _why(row: Row, value: Value) -> str:
    """Why there is no value; that of a mean over sites is told by the sites."""
    of_sites = [own.note for part in row.per_site if (own := part.get(value.name)) and own.note]
    return next((note for note in (value.note, *of_sites) if note), "not measured")


def _said(kind: _Kind, lines: Sequence[tuple[_Line, Row]]) -> str:
    """What the intervals of the differences say."""
    said = []
    for line, row in lines:
        above = [value.name for value in _known(row) if value.low is not None and value.low > 0]
        below = [value.name for value in _known(row) if value.high is not None and value.high < 0]
        template = kind.surely if above else kind.never
        less = f", and surely less at {', '.join(below)}" if below else ""
        said.append(f"{template.format(name=line.name, places=', '.join(above))}{less}.")
    return " ".join(said)
