"""What every chart is drawn with: SVG elements whose colours follow the page, light, dark or printed."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

from markupsafe import Markup

from fedgen.report.numbers import MINUS

#: Of a chart: that of a phone, so its text stays readable there; wider screens show several side by side.
WIDTH, HEIGHT = 360.0, 210.0
INK, MUTED, LINE, ACCENT, PAPER = (
    "var(--ink, #1b242c)",
    "var(--muted, #5c6872)",
    "var(--line, #dfe4e8)",
    "var(--accent, #0b6a70)",
    "var(--paper, #fff)",
)

#: By which a power of ten is multiplied to a step between ticks.
_TIMES = (1.0, 2.0, 2.5, 5.0)
#: Of a step: what lies so near to a tick is on it.
_EDGE = 1e-9


def element(
    tag: str, parent: ET.Element | None = None, text: str | None = None, **attributes: object
) -> ET.Element:
    """An element with its text; `text_anchor=...` is the attribute text-anchor, and `class_=...` is class."""
    names = {name.rstrip("_").replace("_", "-"): plain(value) for name, value in attributes.items()}
    made = ET.Element(tag, names) if parent is None else ET.SubElement(parent, tag, names)
    made.text = text
    return made


def plain(value: object) -> str:
    """As an attribute: a length to a hundredth of a unit."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def canvas(width: float, height: float, description: str) -> ET.Element:
    """An empty picture that says to a screen reader what it is."""
    svg = element("svg", viewBox=f"0 0 {plain(width)} {plain(height)}", role="img", aria_label=description)
    svg.set("style", "font:11px system-ui,sans-serif")
    return svg


def ticks_of(low: float, high: float, bins: int, integer: bool = False) -> list[float]:
    """Round numbers that cover low to high, in about so many steps, two of them between low and high.

    As matplotlib's MaxNLocator, which a page would load for half of the time that it takes to be made.
    """
    if not low < high:
        low, high = low - (abs(low) / 10 or 1.0), high + (abs(high) / 10 or 1.0)
    power = 10.0 ** math.floor(math.log10((high - low) / bins))
    steps = [times * scale * power for scale in (0.1, 1.0, 10.0) for times in _TIMES]
    steps = sorted({step for step in steps if not integer or abs(step - round(step)) < _EDGE} or {1.0})
    wide = [step for step in steps if step >= (high - low) / bins * (1 - _EDGE)]
    ticks: list[float] = []
    for step in [wide[0] if wide else steps[-1], *reversed([each for each in steps if each not in wide])]:
        if integer:
            step = max(1.0, step)
        first, last = math.floor(low / step + _EDGE), math.ceil(high / step - _EDGE)
        ticks = [round(k * step, 12) for k in range(first, last + 1)]
        if sum(low <= tick <= high for tick in ticks) >= 2:
            break
    return ticks


def tick_text(value: float) -> str:
    """A tick as it is printed, with a real minus sign."""
    return f"{round(value, 10):.4g}".replace("-", MINUS)


def inline(svg: ET.Element) -> Markup:
    """The element for a page; every text in it was escaped by the XML writer."""
    return Markup(ET.tostring(svg, encoding="unicode", short_empty_elements=False))


def standalone(svg: ET.Element) -> bytes:
    """The element as an SVG file."""
    copy = ET.Element(svg.tag, {"xmlns": "http://www.w3.org/2000/svg", **svg.attrib})
    copy.extend(list(svg))
    return ET.tostring(copy, encoding="utf-8", xml_declaration=True)
