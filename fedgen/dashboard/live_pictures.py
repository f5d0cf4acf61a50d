"""The curves of a run for a page whose policy lets no picture have a style of its own."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from markupsafe import Markup

from fedgen.report.curves import Curve, curves
from fedgen.report.svg import inline
from fedgen.run.events import Event, RoundDone

#: Rounds that are drawn: of more, every second, third and so on, and the last.
MOST = 240


def live_curves(events: Sequence[Event], target: float | None) -> list[tuple[Curve, Markup]]:
    """Each curve with its picture."""
    rounds = list({event.round: event for event in events if isinstance(event, RoundDone)}.values())
    step = 1 + (len(rounds) - 1) // MOST if rounds else 1
    # Counted from the last, so that it is always there.
    drawn = rounds[::-1][::step][::-1]
    return [(curve, inline(without_styles(curve.svg))) for curve in curves(drawn, target=target)]


def without_styles(svg: ET.Element) -> ET.Element:
    """The same picture with what its `style` said as attributes of their own; its font is the page's to say."""
    for element in svg.iter():
        style = element.attrib.pop("style", "")
        for declaration in filter(None, style.split(";")):
            name, _, value = declaration.partition(":")
            if name.strip() != "font":
                element.set(name.strip(), value.strip())
    return svg
