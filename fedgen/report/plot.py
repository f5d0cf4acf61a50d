"""Two axes with their grid, and marks between them: what charts of measured numbers with intervals are drawn on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from fedgen.report.svg import ACCENT, LINE, MUTED, PAPER, WIDTH, canvas, element, plain, tick_text, ticks_of

_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 20.0, 24.0, 40.0


@dataclass(frozen=True)
class Scale:
    """One axis.

    Attributes:
        low, high: its ends; what lies beyond is drawn at the end.
        ticks: where a line and a number stand.
        label: what is measured.
        log: whether equal steps are equal factors; low is above 0 then.
        said: how a tick is printed.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    label: str
    log: bool = False
    said: Callable[[float], str] = tick_text

    @classmethod
    def of(cls, values: Sequence[float], label: str, steps: int = 4) -> Scale:
        """A linear axis with round ends about these values; at least one."""
        ticks = tuple(ticks_of(min(values), max(values), steps))
        return cls(ticks[0], ticks[-1], ticks, label)

    def share(self, value: float) -> float:
        """Where a value lies between the ends, in [0, 1]."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low) if high > low else 0.5


class Plot:
    """A picture with both axes, on which lines, areas and marks are drawn in the order of the calls."""

    def __init__(
        self, x: Scale, y: Scale, description: str, *, width: float = WIDTH, height: float = 240.0
    ) -> None:
        self.x, self.y, self._width, self._height = x, y, width, height
        self.svg = canvas(width, height, description)
        for tick in y.ticks:
            at = plain(self.at_y(tick))
            element("path", self.svg, d=f"M{_LEFT} {at}H{width - _RIGHT}", style=f"stroke:{LINE}")
            self.text(_LEFT - 7, self.at_y(tick) + 3.5, y.said(tick), anchor="end")
        for tick in x.ticks:
            self.text(self.at_x(tick), height - _BOTTOM + 16, x.said(tick), anchor="middle")
        self.text(width - _RIGHT, height - 6, x.label, anchor="end")
        self.text(0.0, 11.0, y.label)

    def at_x(self, value: float) -> float:
        """Its place from the left."""
        return _LEFT + (self._width - _LEFT - _RIGHT) * self.x.share(value)

    def at_y(self, value: float) -> float:
        """Its place from the top."""
        return self._height - _BOTTOM - (self._height - _TOP - _BOTTOM) * self.y.share(value)

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "start", ink: str = MUTED, over: bool = False
    ) -> None:
        """A few words at a place of the picture; `over` what is drawn there they have an edge of paper."""
        edge = f";stroke:{PAPER};stroke-width:4;stroke-linejoin:round;paint-order:stroke" if over else ""
        element("text", self.svg, text, x=x, y=y, text_anchor=anchor, style=f"fill:{ink}{edge}")

    def line(self, points: Sequence[tuple[float, float]], style: str) -> None:
        """A line through points in the units of the axes."""
        element("path", self.svg, d=f"M{self._through(points)}", style=f"fill:none;{style}")

    def area(self, points: Sequence[tuple[float, float]], style: str) -> None:
        """All that lies below a line."""
        low, (first, last) = self.y.low, (points[0][0], points[-1][0])
        element("path", self.svg, d=f"M{self._through([(first, low), *points, (last, low)])}Z", style=style)

    def mark(
        self,
        x: float,
        y: float,
        low: float | None,
        high: float | None,
        title: str,
        *,
        ink: str = ACCENT,
        hollow: bool = False,
        radius: float = 3.6,
    ) -> ET.Element:
        """A dot with its interval; a hollow one stands for a value that lies beyond the axis."""
        at_x, at_y = self.at_x(x), self.at_y(y)
        if low is not None and high is not None:
            reach = f"M{plain(at_x)} {plain(self.at_y(low))}V{plain(self.at_y(high))}"
            element("path", self.svg, d=reach, style=f"stroke:{ink};stroke-width:1.6;opacity:.75")
        fill = f"fill:{PAPER};stroke:{ink};stroke-width:1.6" if hollow else f"fill:{ink}"
        dot = element("circle", self.svg, cx=at_x, cy=at_y, r=radius, style=fill)
        element("title", dot, title)
        return dot

    def _through(self, points: Sequence[tuple[float, float]]) -> str:
        return "L".join(f"{plain(self.at_x(x))} {plain(self.at_y(y))}" for x, y in points)
