"""What is had at each epsilon: marks with their intervals, a line for each study, and what they are read against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from fedgen.report.numbers import epsilon, interval, number
from fedgen.report.plot import Plot, Scale
from fedgen.report.svg import INK, MUTED

#: How far to the right of the largest epsilon a run without privacy stands.
_BEYOND = 3.0
#: From the top down to here stands the label of the axis.
_LABEL = 24.0
#: Numbers on the axis of epsilon that are nearer to each other than this would be printed upon each other.
_APART = 34.0
#: Between marks of two lines at one epsilon.
_BESIDE = 8.0


@dataclass(frozen=True)
class EpsilonMark:
    """One study at one epsilon.

    Attributes:
        line: which marks are joined.
        name: for a reader.
        epsilon: spent; infinite without privacy.
        value, low, high: with its interval.
        runs: how many it is a mean over.
    """

    line: str
    name: str
    epsilon: float
    value: float
    low: float | None
    high: float | None
    runs: int


def epsilon_curve(
    marks: Sequence[EpsilonMark],
    inks: Mapping[str, str],
    dashed: Mapping[str, float],
    label: str,
    description: str,
    *,
    width: float,
    height: float,
) -> ET.Element:
    """The curve of one mark at least.

    Args:
        marks: in any order.
        inks: colour of each line.
        dashed: what the marks are read against, by its name.
        label: what is measured.
        description: for who does not see it.
        width, height: of the picture.
    """
    spent = sorted({mark.epsilon for mark in marks if math.isfinite(mark.epsilon)})
    without = any(math.isinf(mark.epsilon) for mark in marks)
    bounds = [bound for mark in marks for bound in (mark.value, mark.low, mark.high) if bound is not None]
    y = Scale.of([*bounds, *dashed.values()], label)
    plot = Plot(_axis(spent, without, width), y, description, width=width, height=height)
    for at in dashed.values():
        plot.line([(plot.x.low, at), (plot.x.high, at)], f"stroke:{MUTED};stroke-dasharray:5 4")
    lines = list(dict.fromkeys(mark.line for mark in marks))
    for index, line in enumerate(lines):
        # Marks at one epsilon stand beside each other and not on each other.
        beside = _BESIDE * (index - (len(lines) - 1) / 2) / width
        _draw(plot, [mark for mark in marks if mark.line == line], inks[line], beside)
    for name, at in dashed.items():
        # Below its line where it would stand upon the label of the axis.
        above = plot.at_y(at) - 5
        y_of_text = above if above > _LABEL else above + 18
        plot.text(plot.at_x(plot.x.low) + 6, y_of_text, f"{name} {number(at)}", ink=INK, over=True)
    return plot.svg


def _axis(spent: Sequence[float], without: bool, width: float) -> Scale:
    low = spent[0] / 1.5 if spent else 1.0
    high = (spent[-1] if spent else 1.0) * 1.5
    end = high * _BEYOND if without else high

    def said(tick: float) -> str:
        return "\u221e" if tick > high else epsilon(tick)

    label = "\u03b5 for each patient"
    scale = Scale(low, end, (), label, log=True)
    ticks: list[float] = []
    for tick in spent:
        if not ticks or (scale.share(tick) - scale.share(ticks[-1])) * width > _APART:
            ticks.append(tick)
    # The last one is told rather than one that stands close to it.
    if spent and ticks[-1] != spent[-1]:
        ticks[-1] = spent[-1]
    at_infinity = [_infinity(end)] if without else []
    return Scale(low, end, (*ticks, *at_infinity), label, log=True, said=said)


def _infinity(end: float) -> float:
    """Where a run without privacy stands on an axis that ends there."""
    return end / 1.5


def _draw(plot: Plot, marks: Sequence[EpsilonMark], ink: str, beside: float) -> None:
    nudge = (plot.x.high / plot.x.low) ** beside
    marks = sorted(marks, key=lambda mark: mark.epsilon)
    joined = [(mark.epsilon * nudge, mark.value) for mark in marks if math.isfinite(mark.epsilon)]
    if len(joined) > 1:
        plot.line(joined, f"stroke:{ink};stroke-width:1.6;stroke-linejoin:round")
    for mark in marks:
        place = mark.epsilon if math.isfinite(mark.epsilon) else _infinity(plot.x.high)
        seeds = f"mean of {mark.runs} runs" if mark.runs > 1 else "one run"
        title = f"{mark.name}, {number(mark.value)}, {interval(mark.low, mark.high)}, {seeds}"
        plot.mark(place * nudge, mark.value, mark.low, mark.high, title, ink=ink)
