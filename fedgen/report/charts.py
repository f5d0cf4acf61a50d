"""Small charts as SVG whose colours follow the page: light, dark or printed.

Each is drawn at the width of a phone, so its text stays readable there; wider screens show several side by
side. Pure functions of numbers to SVG elements: `inline` for a page, `standalone` for a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from fedgen.report.numbers import MINUS, number

WIDTH, HEIGHT = 360.0, 210.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 12.0, 12.0, 34.0
_INK, _MUTED, _LINE, _ACCENT = (
    "var(--ink, #1b242c)",
    "var(--muted, #5c6872)",
    "var(--line, #dfe4e8)",
    "var(--accent, #0b6a70)",
)


@dataclass(frozen=True)
class Point:
    """One mark of a line; `band` is the half width of its uncertainty band."""

    x: float
    y: float | None
    band: float | None = None


def _element(
    tag: str, parent: ET.Element | None = None, text: str | None = None, **attributes: object
) -> ET.Element:
    names = {name.rstrip("_").replace("_", "-"): _plain(value) for name, value in attributes.items()}
    made = ET.Element(tag, names) if parent is None else ET.SubElement(parent, tag, names)
    made.text = text
    return made


def _plain(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _canvas(width: float, height: float, description: str) -> ET.Element:
    svg = _element("svg", viewBox=f"0 0 {_plain(width)} {_plain(height)}", role="img", aria_label=description)
    svg.set("style", "font:11px system-ui,sans-serif")
    return svg


def _ticks(low: float, high: float, bins: int, integer: bool = False) -> list[float]:
    ticks = MaxNLocator(nbins=bins, integer=integer, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks]


def _tick_text(value: float) -> str:
    return f"{round(value, 10):.4g}".replace("-", MINUS)


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
    svg = _canvas(WIDTH, HEIGHT, description)
    known = [(p.x, p.y, p.band or 0.0) for p in points if p.y is not None]
    if not known:
        _element(
            "text", svg, "no values", x=WIDTH / 2, y=HEIGHT / 2, text_anchor="middle", style=f"fill:{_MUTED}"
        )
        return svg
    lows = [y - band for _, y, band in known] + ([reference[0]] if reference else [])
    highs = [y + band for _, y, band in known] + ([reference[0]] if reference else [])
    ticks = _ticks(0.0 if start_at_zero else min(lows), max(highs), 4)
    bottom, top = ticks[0], ticks[-1]
    first, last = min(p.x for p in points), max(p.x for p in points)

    def at_x(x: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * ((x - first) / (last - first) if last > first else 0.5)

    def at_y(y: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (y - bottom) / (top - bottom)

    for tick in ticks:
        _element("path", svg, d=f"M{_LEFT} {_plain(at_y(tick))}H{WIDTH - _RIGHT}", style=f"stroke:{_LINE}")
        _element(
            "text",
            svg,
            _tick_text(tick),
            x=_LEFT - 7,
            y=at_y(tick) + 3.5,
            text_anchor="end",
            style=f"fill:{_MUTED}",
        )
    for tick in (t for t in _ticks(first, last, 5, integer=True) if first <= t <= last):
        _element(
            "text",
            svg,
            _tick_text(tick),
            x=at_x(tick),
            y=HEIGHT - 18,
            text_anchor="middle",
            style=f"fill:{_MUTED}",
        )
    _element("text", svg, x_label, x=WIDTH - _RIGHT, y=HEIGHT - 4, text_anchor="end", style=f"fill:{_MUTED}")
    for run in _runs(points):
        if any(p.band for p in run):
            upper = [f"{_plain(at_x(p.x))} {_plain(at_y((p.y or 0) + (p.band or 0)))}" for p in run]
            lower = [f"{_plain(at_x(p.x))} {_plain(at_y((p.y or 0) - (p.band or 0)))}" for p in reversed(run)]
            _element("path", svg, d=f"M{'L'.join(upper + lower)}Z", style=f"fill:{_ACCENT};opacity:.16")
        line = "L".join(f"{_plain(at_x(p.x))} {_plain(at_y(p.y or 0))}" for p in run)
        _element(
            "path",
            svg,
            d=f"M{line}",
            style=f"fill:none;stroke:{_ACCENT};stroke-width:1.8;stroke-linejoin:round",
        )
    for x, y, _ in known if len(known) <= 40 else (known[0], known[-1]):
        dot = _element("circle", svg, cx=at_x(x), cy=at_y(y), r=2.6, style=f"fill:{_ACCENT}")
        _element("title", dot, f"{x_label} {_tick_text(x)}: {number(y)}")
    if reference:
        value, name = reference
        _element(
            "path",
            svg,
            d=f"M{_LEFT} {_plain(at_y(value))}H{WIDTH - _RIGHT}",
            style=f"stroke:{_INK};stroke-dasharray:4 3",
        )
        _element("text", svg, name, x=_LEFT + 5, y=at_y(value) + 13, style=f"fill:{_INK}")
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
    svg = _canvas(WIDTH, height, description)
    width = (WIDTH - _RIGHT) / max(1, len(rounds))
    gap = min(2.0, width * 0.15)
    for row, (site, marks) in enumerate(present):
        y = 12 + step * row
        _element("text", svg, f"{site} \u00b7 {sum(marks)} of {len(rounds)}", x=0, y=y, style=f"fill:{_INK}")
        for column, here in enumerate(marks):
            cell = _element("rect", svg, x=column * width, y=y + 4, width=width - gap, height=7.0, rx=1)
            cell.set("style", f"fill:{_ACCENT}" if here else f"fill:none;stroke:{_LINE}")
            _element("title", cell, f"{site}, round {rounds[column]}: {'took part' if here else 'absent'}")
    ends = f"round {rounds[0]}", f"round {rounds[-1]}"
    _element("text", svg, ends[0], x=0, y=height - 4, style=f"fill:{_MUTED}")
    if len(rounds) > 1:
        _element(
            "text", svg, ends[1], x=WIDTH - _RIGHT, y=height - 4, text_anchor="end", style=f"fill:{_MUTED}"
        )
    return svg


def interval_mark(value: float | None, low: float | None, high: float | None, reference: float) -> ET.Element:
    """A dot with its interval on an axis from 0 to 1, and a thin line at `reference`."""
    width, height, pad = 150.0, 16.0, 5.0
    svg = _canvas(width, height, f"{number(value)}, interval {number(low)} to {number(high)}")

    def at(x: float) -> float:
        return pad + (width - 2 * pad) * min(1.0, max(0.0, x))

    _element("path", svg, d=f"M{pad} 8H{width - pad}", style=f"stroke:{_LINE}")
    _element("path", svg, d=f"M{_plain(at(reference))} 2V14", style=f"stroke:{_MUTED};stroke-dasharray:2 2")
    if low is not None and high is not None:
        _element(
            "path",
            svg,
            d=f"M{_plain(at(low))} 8H{_plain(at(high))}",
            style=f"stroke:{_ACCENT};stroke-width:2.4",
        )
    if value is not None:
        _element("circle", svg, cx=at(value), cy=8.0, r=3.6, style=f"fill:{_ACCENT}")
    return svg


def inline(svg: ET.Element) -> Markup:
    """The element for a page; every text in it was escaped by the XML writer."""
    return Markup(ET.tostring(svg, encoding="unicode", short_empty_elements=False))


def standalone(svg: ET.Element) -> bytes:
    """The element as an SVG file."""
    copy = ET.Element(svg.tag, {"xmlns": "http://www.w3.org/2000/svg", **svg.attrib})
    copy.extend(list(svg))
    return ET.tostring(copy, encoding="utf-8", xml_declaration=True)
