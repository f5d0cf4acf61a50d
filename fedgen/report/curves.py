"""Training curves from the events of a run: loss a round, epsilon a round, sites a round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from fedgen.report.charts import Point, line_chart, presence_chart
from fedgen.report.svg import standalone
from fedgen.run.atomic import write_atomic
from fedgen.run.events import Event, RoundDone
from fedgen.synthesis.file_stems import file_stems

#: Half width of the noise band, in standard deviations.
BAND = 2.0


@dataclass(frozen=True)
class Curve:
    """A chart with its name and the sentence under it."""

    name: str
    title: str
    caption: str
    svg: ET.Element


def curves(events: Iterable[Event], *, target: float | None = None) -> list[Curve]:
    """The charts of a run; none where no round was finished.

    Args:
        events: of a run. A round that was repeated after a resume counts once, as it last was.
        target: the study's epsilon, drawn as a line.
    """
    rounds = {event.round: event for event in events if isinstance(event, RoundDone)}
    if not rounds:
        return []
    order = sorted(rounds)
    drawn = [_loss(objective, order, rounds) for objective in _objectives(rounds)]
    if any(rounds[n].epsilon is not None for n in order):
        points = [Point(n, rounds[n].epsilon) for n in order]
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
    sites = sorted({site for event in rounds.values() for site in event.sites})
    present = [(site, [site in rounds[n].sites for n in order]) for site in sites]
    svg = presence_chart(order, present, "sites taking part by round")
    drawn.append(
        Curve(
            "sites", "Sites taking part", "Filled: the site\u2019s update is in that round\u2019s model.", svg
        )
    )
    return drawn


def _objectives(rounds: Mapping[int, RoundDone]) -> list[str]:
    names = [name for event in rounds.values() for name in event.losses]
    return list(dict.fromkeys(names))


def _loss(objective: str, order: Sequence[int], rounds: Mapping[int, RoundDone]) -> Curve:
    losses = [(n, rounds[n].losses.get(objective)) for n in order]
    points = [Point(n, loss.value, BAND * loss.std) if loss else Point(n, None) for n, loss in losses]
    noisy = any(point.band for point in points)
    caption = (
        f"As the sites reported it; the band is \u00b1{BAND:g} SD of the noise added to protect it."
        if noisy
        else "As the sites reported it; no noise was added to this number."
    )
    svg = line_chart(points, description=f"loss {objective} by round", x_label="round")
    return Curve(f"loss_{objective}", f"Loss: {objective}", caption, svg)


def draw_curves(figures: Path, events: Iterable[Event], *, target: float | None = None) -> list[Path]:
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
