"""Small charts of the numbers of a run; pure functions of numbers to SVG elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from fedgen.report.numbers import number
from fedgen.report.svg import (
    ACCENT,
    HEIGHT,
    INK,
    LINE,
    MUTED,
    WIDTH,
    canvas,
    element,
    plain,
    tick_text,
    ticks_of,
)

_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 12.0, 12.0, 34.0


@dataclass(frozen=True)
class Point:
    """One mark of a line; `band` is the half width of its uncertainty band."""

    x: float
    y: float | None
    band: float | None = None


def line_chart(
    points: Sequence[Point],
    *,
    description: str,
    x_label: str,
    start_at_zero: bool = False,
    reference: tuple[float, str] | None = None,
) -> ET.Element:
    """One line over whole-numbered x, with a band where points have one.

    Args:
        points: in order of x; a point without y interrupts the line.
        description: what a screen reader says.
        x_label: under the axis.
        start_at_zero: whether the y axis begins at 0.
        reference: a dashed horizontal line and its name.
    """
    svg = canvas(WIDTH, HEIGHT, description)
    known = [(p.x, p.y, p.band or 0.0) for p in points if p.y is not None]
    if not known:
        element(
            "text", svg, "no values", x=WIDTH / 2, y=HEIGHT / 2, text_anchor="middle", style=f"fill:{MUTED}"
        )
        return svg
    lows = [y - band for _, y, band in known] + ([reference[0]] if reference else [])
    highs = [y + band for _, y, band in known] + ([reference[0]] if reference else [])
    ticks = ticks_of(0.0 if start_at_zero else min(lows), max(highs), 4)
    bottom, top = ticks[0], ticks[-1]
    first, last = min(p.x for p in points), max(p.x for p in points)

    def at_x(x: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * ((x - first) / (last - first) if last > first else 0.5)

    def at_y(y: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (y - bottom) / (top - bottom)

    for tick in ticks:
        element("path", svg, d=f"M{_LEFT} {plain(at_y(tick))}H{WIDTH - _RIGHT}", style=f"stroke:{LINE}")
        element(
            "text",
            svg,
            tick_text(tick),
            x=_LEFT - 7,
            y=at_y(tick) + 3.5,
            text_anchor="end",
            style=f"fill:{MUTED}",
        )
    for tick in (t for t in ticks_of(first, last, 5, integer=True) if first <= t <= last):
        element(
            "text",
            svg,
            tick_text(tick),
            x=at_x(tick),
            y=HEIGHT - 18,
            text_anchor="middle",
            style=f"fill:{MUTED}",
        )
    element("text", svg, x_label, x=WIDTH - _RIGHT, y=HEIGHT - 4, text_anchor="end", style=f"fill:{MUTED}")
    for run in _runs(points):
        if any(p.band for p in run):
            upper = [f"{plain(at_x(p.x))} {plain(at_y((p.y or 0) + (p.band or 0)))}" for p in run]
            lower = [f"{plain(at_x(p.x))} {plain(at_y((p.y or 0) - (p.band or 0)))}" for p in reversed(run)]
            element("path", svg, d=f"M{'L'.join(upper + lower)}Z", style=f"fill:{ACCENT};opacity:.16")
        line = "L".join(f"{plain(at_x(p.x))} {plain(at_y(p.y or 0))}" for p in run)
        element(
            "path",
            svg,
            d=f"M{line}",
            style=f"fill:none;stroke:{ACCENT};stroke-width:1.8;stroke-linejoin:round",
        )
    for x, y, _ in known if len(known) <= 40 else (known[0], known[-1]):
        dot = element("circle", svg, cx=at_x(x), cy=at_y(y), r=2.6, style=f"fill:{ACCENT}")
        element("title", dot, f"{x_label} {tick_text(x)}: {number(y)}")
    if reference:
        value, name = reference
        element(
            "path",
            svg,
            d=f"M{_LEFT} {plain(at_y(value))}H{WIDTH - _RIGHT}",
            style=f"stroke:{INK};stroke-dasharray:4 3",
        )
        element("text", svg, name, x=_LEFT + 5, y=at_y(value) + 13, style=f"fill:{INK}")
    return svg


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    """The stretches of points that have a y."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if point.y is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]


def presence_chart(
    rounds: Sequence[int], present: Sequence[tuple[str, Sequence[bool]]], description: str
) -> ET.Element:
    """A row a site and a cell a round, filled where the site took part."""
    step = 26.0
    height = 12 + step * len(present) + 12
    svg = canvas(WIDTH, height, description)
    width = (WIDTH - _RIGHT) / max(1, len(rounds))
    gap = min(2.0, width * 0.15)
    for row, (site, marks) in enumerate(present):
        y = 12 + step * row
        element("text", svg, f"{site} \u00b7 {sum(marks)} of {len(rounds)}", x=0, y=y, style=f"fill:{INK}")
        for column, here in enumerate(marks):
            cell = element("rect", svg, x=column * width, y=y + 4, width=width - gap, height=7.0, rx=1)
            cell.set("style", f"fill:{ACCENT}" if here else f"fill:none;stroke:{LINE}")
            element("title", cell, f"{site}, round {rounds[column]}: {'took part' if here else 'absent'}")
    ends = f"round {rounds[0]}", f"round {rounds[-1]}"
    element("text", svg, ends[0], x=0, y=height - 4, style=f"fill:{MUTED}")
    if len(rounds) > 1:
        element(
            "text", svg, ends[1], x=WIDTH - _RIGHT, y=height - 4, text_anchor="end", style=f"fill:{MUTED}"
        )
    return svg


def interval_mark(value: float | None, low: float | None, high: float | None, reference: float) -> ET.Element:
    """A dot with its interval on an axis from 0 to 1, and a thin line at `reference`."""
    width, height, pad = 150.0, 16.0, 5.0
    svg = canvas(width, height, f"{number(value)}, interval {number(low)} to {number(high)}")

    def at(x: float) -> float:
        return pad + (width - 2 * pad) * min(1.0, max(0.0, x))

    element("path", svg, d=f"M{pad} 8H{width - pad}", style=f"stroke:{LINE}")
    element("path", svg, d=f"M{plain(at(reference))} 2V14", style=f"stroke:{MUTED};stroke-dasharray:2 2")
    if low is not None and high is not None:
        element(
            "path",
            svg,
            d=f"M{plain(at(low))} 8H{plain(at(high))}",
            style=f"stroke:{ACCENT};stroke-width:2.4",
        )
    if value is not None:
        element("circle", svg, cx=at(value), cy=8.0, r=3.6, style=f"fill:{ACCENT}")
    return svg
