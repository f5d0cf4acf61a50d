"""The epsilon-utility curve: what a release is worth at each epsilon, a line for each study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from fedgen.report.compare_runs import Averaged
from fedgen.report.numbers import epsilon, interval, number
from fedgen.report.plot import Plot, Scale
from fedgen.report.svg import INK, MUTED

#: As often as lines differ; the page defines them for light and dark.
COLOURS = tuple(f"var(--series-{n})" for n in range(1, 7))
#: How far to the right of the largest epsilon a run without privacy stands.
_BEYOND = 3.0
_WIDTH, _HEIGHT = 720.0, 340.0
#: From the top down to here stands the label of the axis.
_LABEL = 24.0


def utility_curve(averaged: Sequence[Averaged]) -> ET.Element | None:
    """The curve of runs that may be compared; None where nothing is known of their worth.

    What was trained without privacy stands at the right, at infinity. Whiskers reach from the least to the largest
    limit of the runs' intervals over patients; dashed lines are training on real images and the control.
    """
    known = [each for each in averaged if each.value is not None]
    if not known:
        return None
    spent = sorted({_epsilon(each) for each in known if math.isfinite(_epsilon(each))})
    without = any(math.isinf(_epsilon(each)) for each in known)
    y = Scale.of([bound for each in known for bound in _bounds(each)], _measure(known))
    plot = Plot(_axis(spent, without), y, "worth by epsilon", width=_WIDTH, height=_HEIGHT)
    _references(plot, known)
    for index, line in enumerate(lines(known)):
        _draw(plot, [each for each in known if each.line == line], COLOURS[index % len(COLOURS)], index)
    return plot.svg


def lines(averaged: Sequence[Averaged]) -> list[str]:
    """The lines in the order of their colours."""
    return list(dict.fromkeys(each.line for each in averaged if each.value is not None))


def _epsilon(each: Averaged) -> float:
    found = each.asked if each.epsilon is None else each.epsilon
    return math.inf if found is None else found


def _bounds(each: Averaged) -> list[float]:
    found = (each.value, each.low, each.high, each.real, each.control)
    return [bound for bound in found if bound is not None]


def _measure(known: Sequence[Averaged]) -> str:
    return ", ".join(dict.fromkeys(f"{each.measure}, {each.over}" for each in known))


def _axis(spent: Sequence[float], without: bool) -> Scale:
    low = spent[0] / 1.5 if spent else 1.0
    high = (spent[-1] if spent else 1.0) * 1.5
    ticks = [*spent] if len(spent) <= 8 else [spent[0], spent[len(spent) // 2], spent[-1]]
    end = high * _BEYOND if without else high
    at_infinity = [high * _BEYOND / 1.5] if without else []

    def said(tick: float) -> str:
        return "\u221e" if tick > high else epsilon(tick)

    return Scale(low, end, (*ticks, *at_infinity), "\u03b5 for each patient", log=True, said=said)


def _references(plot: Plot, known: Sequence[Averaged]) -> None:
    for name, values in (
        ("real images", [each.real for each in known if each.real is not None]),
        ("control", [each.control for each in known if each.control is not None]),
    ):
        if not values:
            continue
        at = sum(values) / len(values)
        plot.line([(plot.x.low, at), (plot.x.high, at)], f"stroke:{MUTED};stroke-dasharray:5 4")
        # Below its line where it would stand upon the label of the axis.
        above = plot.at_y(at) - 5
        plot.text(
            plot.at_x(plot.x.low) + 6,
            above if above > _LABEL else above + 18,
            f"{name} {number(at)}",
            ink=INK,
        )


def _draw(plot: Plot, points: Sequence[Averaged], ink: str, index: int) -> None:
    at = [(_epsilon(each), each) for each in sorted(points, key=_epsilon)]
    # Marks at one epsilon stand beside each other and not on each other.
    nudge = 1.0 + 0.018 * index
    joined = [(x * nudge, each.value) for x, each in at if math.isfinite(x) and each.value is not None]
    if len(joined) > 1:
        plot.line(joined, f"stroke:{ink};stroke-width:1.6;stroke-linejoin:round")
    for x, each in at:
        if each.value is None:
            continue
        place = x if math.isfinite(x) else plot.x.ticks[-1]
        seeds = f"mean of {each.scored} runs" if each.scored > 1 else "one run"
        title = f"{each.name}, {number(each.value)}, {interval(each.low, each.high)}, {seeds}"
        plot.mark(place * nudge, each.value, each.low, each.high, title, ink=ink)
