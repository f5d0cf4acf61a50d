"""The curves of a comparison: what a release is worth at each epsilon, and how like real images it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from xml.etree import ElementTree as ET

from fedgen.report.compare_file import Averaged, AveragedFidelity
from fedgen.report.epsilon_curve import EpsilonMark, epsilon_curve
from fedgen.report.svg import WIDTH

#: As often as lines differ; the page defines them for light and dark.
COLOURS = tuple(f"var(--series-{n})" for n in range(1, 7))
_WIDE, _HIGH = 720.0, 340.0


def line_inks(averaged: Sequence[Averaged]) -> dict[str, str]:
    """The colour of each line: one in all charts of a question."""
    lines = dict.fromkeys(each.line for each in averaged)
    return {line: COLOURS[index % len(COLOURS)] for index, line in enumerate(lines)}


def utility_curve(averaged: Sequence[Averaged], inks: Mapping[str, str]) -> ET.Element | None:
    """The curve of runs that may be compared; None where nothing is known of their worth.

    What was trained without privacy stands at the right, at infinity. Whiskers reach from the least to the largest
    limit of the runs' intervals over patients; dashed lines are training on real images and the control.
    """
    known = [(each, each.value) for each in averaged if each.value is not None]
    if not known:
        return None
    marks = [
        EpsilonMark(each.line, each.name, _epsilon(each), value, each.low, each.high, each.scored)
        for each, value in known
    ]
    beside = {
        "real images": _mean(each.real for each, _ in known),
        "control": _mean(each.control for each, _ in known),
    }
    label = ", ".join(dict.fromkeys(f"{each.measure}, {each.over}" for each, _ in known))
    return epsilon_curve(
        marks,
        inks,
        {name: value for name, value in beside.items() if value is not None},
        label,
        "worth by epsilon",
        width=_WIDE,
        height=_HIGH,
    )


def fidelity_curve(
    measure: str, better: str, found: Sequence[AveragedFidelity], inks: Mapping[str, str]
) -> ET.Element | None:
    """The curve of one measure in the features of one extractor; None where no run has it.

    Whiskers are as those of `utility_curve`; the dashed line is the same measure between disjoint real patients.

    Args:
        measure: of `compare_fidelity.MEASURES`.
        better: `lower` or `higher`.
        found: numbers that may stand together.
        inks: colour of each line.
    """
    known = [(each, number) for each in found if (number := each.get(measure)) is not None]
    if not known:
        return None
    marks = [
        EpsilonMark(each.line, each.name, _epsilon(each), own.value, own.low, own.high, own.runs)
        for each, own in known
    ]
    floor = _mean(own.floor for _, own in known)
    return epsilon_curve(
        marks,
        inks,
        {} if floor is None else {"real against real": floor},
        f"{measure}, {better} is better",
        f"{measure} by epsilon",
        width=WIDTH,
        height=240.0,
    )


def _epsilon(each: Averaged | AveragedFidelity) -> float:
    found = each.asked if each.epsilon is None else each.epsilon
    return math.inf if each.asked is None or found is None else found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
