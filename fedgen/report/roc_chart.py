"""Attacks as points of their ROC curves on logarithmic axes, with what the claim permits.

The average of a curve hides its tail, in which an attack finds some patients for certain (Carlini et al. 2022): hence
logarithmic axes and true positive rates at small false positive rates, as the rows have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from fedgen.report.numbers import THIN, epsilon, interval, number
from fedgen.report.plot import Plot, Scale
from fedgen.report.svg import INK, MUTED
from fedgen.report.traces import Drawing, once, short, trace
from fedgen.run.evidence_files import AUDIT, AuditFile, Claim
from fedgen.run.row import Row, Value
from fedgen_privacy.statistics.dp_bounds import replace_one, tpr_bound

#: Rates that a curve is read at; the least is also the floor of both axes.
RATES = (0.001, 0.01, 0.1, 0.5)
#: `TPR at 1 % FPR`, with or without how a patient's images were joined.
_POINT = re.compile(r"TPR at (?P<rate>[\d.]+) ?% FPR(?: \((?P<how>\w+)\))?")
_STEPS = 60


@dataclass(frozen=True)
class RocPoint:
    """One value of a row: the share of training patients found at a false positive rate."""

    rate: float
    value: Value


def roc_points(values: Iterable[Value]) -> list[RocPoint]:
    """The points among a row's values, the least rate first; of a patient's images, those by their mean."""
    found = []
    for value in values:
        match = _POINT.fullmatch(value.name)
        if match and match["how"] in {None, "mean"}:
            found.append(RocPoint(float(match["rate"]) / 100, value))
    return sorted(found, key=lambda point: point.rate)


def roc_drawings(audit: AuditFile, rows: Sequence[Row]) -> list[Drawing]:
    """A chart for each attack whose rows hold points, over all patients where they are known together.

    Args:
        audit: with the claim.
        rows: of the audit as the page shows them.
    """
    made = []
    for row in once(rows):
        own = roc_points(row.values)
        parts = {} if own else {part.site: roc_points(part.values) for part in row.per_site}
        if own or any(parts.values()):
            made.append(_drawing(audit.claim, row, own, parts))
    return made


def _drawing(claim: Claim, row: Row, own: Sequence[RocPoint], parts: dict[str, list[RocPoint]]) -> Drawing:
    plot = Plot(
        _axis("false positive rate"), _axis("true positive rate"), f"ROC of {row.title}, logarithmic axes"
    )
    permitted = _theory(plot, claim)
    plot.line(
        [(rate, rate) for rate in _rates()], f"stroke:{MUTED};stroke-dasharray:1 4;stroke-linecap:round"
    )
    points = [(row.title, point) for point in own]
    points += [(site, point) for site, found in parts.items() for point in found]
    unknown = []
    for name, point in points:
        if point.value.value is None:
            unknown.append(f"{point.value.name} of {name} ({point.value.note or 'not measured'})")
        else:
            _mark(plot, name, point, small=bool(parts))
    return Drawing(
        short(row), _caption(permitted, points, unknown, sites=bool(parts)), plot.svg, trace(AUDIT, row)
    )


def _axis(label: str) -> Scale:
    ticks = (0.001, 0.01, 0.1, 1.0)
    return Scale(RATES[0], 1.0, ticks, label, log=True, said=lambda tick: f"{100 * tick:g}{THIN}%")


def _rates() -> list[float]:
    return [RATES[0] ** (1 - step / _STEPS) for step in range(_STEPS + 1)]


def _theory(plot: Plot, claim: Claim) -> str:
    """Draw what the claim permits; gives the sentence about it."""
    if claim.epsilon is None:
        return "No epsilon bounds this attack: training was without privacy."
    split = replace_one(claim.epsilon, claim.delta)
    rates = _rates()
    plot.area([(rate, tpr_bound(rate, *split)) for rate in rates], "fill:var(--accent, #0b6a70);opacity:.09")
    plot.line([(rate, tpr_bound(rate, *split)) for rate in rates], f"stroke:{INK};stroke-width:1.2")
    coin = [(rate, tpr_bound(rate, claim.epsilon, claim.delta)) for rate in rates]
    plot.line(coin, f"stroke:{INK};stroke-width:1;stroke-dasharray:5 3")
    return (
        f"The shaded area is what \u03b5 {epsilon(claim.epsilon)} permits in a split of fixed size (2\u03b5; a point "
        "above it refutes the claim), the dashed line the same where a coin decides who is in."
    )


def _mark(plot: Plot, name: str, point: RocPoint, *, small: bool) -> ET.Element:
    value = point.value
    found = value.value or 0.0
    title = f"{name}, {value.name}: {number(found)}, interval {interval(value.low, value.high)}"
    radius = 2.6 if small else 3.6
    return plot.mark(
        point.rate, found, value.low, value.high, title, hollow=found < plot.y.low, radius=radius
    )


def _caption(
    permitted: str, points: Sequence[tuple[str, RocPoint]], unknown: Sequence[str], *, sites: bool
) -> str:
    here = {point.rate for _, point in points}
    missing = [f"{100 * rate:g}{THIN}%" for rate in RATES if rate not in here]
    said = ["One mark a site. " if sites else "", permitted]
    if any(point.value.value is not None and point.value.value < RATES[0] for _, point in points):
        said.append(" A hollow mark at the foot found nobody.")
    if missing:
        said.append(f" The row has no value at {', '.join(missing)} FPR.")
    if unknown:
        said.append(f" Not drawn: {'; '.join(unknown)}.")
    return "".join(said)
