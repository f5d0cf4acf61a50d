"""Training curves from the events of a run: loss a round, epsilon a round, sites a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from fedgen.report.charts import Point, line_chart, presence_chart, standalone
from fedgen.run.atomic import write_atomic
from fedgen.synthesis.formats import file_stems

#: Half width of the noise band, in standard deviations.
BAND = 2.0

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Curve:
    """A chart with its name and the sentence under it."""

    name: str
    title: str
    caption: str
    svg: ET.Element


def curves(events: Sequence[Event], *, target: float | None = None) -> list[Curve]:
    """The charts of a run; none where no round was finished.

    Args:
        events: lines of `events.jsonl`; only those of event `round` are read. A round that was repeated
            after a resume counts once, as it last was.
        target: the study's epsilon, drawn as a line.
    """
    rounds = {int(event["round"]): event for event in events if event.get("event") == "round"}
    if not rounds:
        return []
    order = sorted(rounds)
    drawn = [_loss(objective, order, rounds) for objective in _objectives(rounds)]
    if any(rounds[n].get("epsilon") is not None for n in order):
        points = [Point(n, rounds[n].get("epsilon")) for n in order]
        reference = None if target is None else (target, f"target {target:g}")
        svg = line_chart(
            points, description="epsilon by round", x_label="round", start_at_zero=True, reference=reference
        )
        drawn.append(
            Curve(
                "epsilon",
                "Privacy spent",
                "Upper bound of any site\u2019s \u03b5 after each round: RDP, or that of all rounds if lower.",
                svg,
            )
        )
    sites = sorted({str(site) for event in rounds.values() for site in event.get("sites") or ()})
    present = [(site, [site in (rounds[n].get("sites") or ()) for n in order]) for site in sites]
    svg = presence_chart(order, present, "sites taking part by round")
    drawn.append(
        Curve(
            "sites", "Sites taking part", "Filled: the site\u2019s update is in that round\u2019s model.", svg
        )
    )
    return drawn


def _objectives(rounds: Mapping[int, Event]) -> list[str]:
    names = [name for event in rounds.values() for name in event.get("losses") or {}]
    return list(dict.fromkeys(names))


def _loss(objective: str, order: Sequence[int], rounds: Mapping[int, Event]) -> Curve:
    entries = [(n, (rounds[n].get("losses") or {}).get(objective) or {}) for n in order]
    points = [
        Point(n, entry.get("value"), None if entry.get("std") is None else BAND * entry["std"])
        for n, entry in entries
    ]
    noisy = any(point.band for point in points)
    caption = (
        f"As the sites reported it; the band is \u00b1{BAND:g} SD of the noise added to protect it."
        if noisy
        else "As the sites reported it; no noise was added to this number."
    )
    svg = line_chart(points, description=f"loss {objective} by round", x_label="round")
    return Curve(f"loss_{objective}", f"Loss: {objective}", caption, svg)


def draw_curves(figures: Path, events: Sequence[Event], *, target: float | None = None) -> list[Path]:
    """Write every curve as an SVG file into `figures`; gives their paths.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    made = curves(events, target=target)
    paths = []
    for stem, curve in zip(file_stems(tuple(curve.name for curve in made)), made, strict=True):
        path = figures / f"{stem}.svg"
        write_atomic(path, standalone(curve.svg))
        paths.append(path)
    return paths
