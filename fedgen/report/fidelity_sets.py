"""How like real images those of compared runs are, for people: curves and tables of numbers that may stand together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from fedgen.evidence.metrics.fidelity_words import COVERAGE, MMD
from fedgen.report.compare_chart import fidelity_curve
from fedgen.report.compare_fidelity import DRAWN, MEASURES
from fedgen.report.compare_file import AveragedFidelity, ComparedRun, CompareFile
from fedgen.report.traces import Drawing

#: Of each measure that is drawn: its title, which way is better, and what a reader has to know of it.
_ABOUT = {
    MMD: (
        "Distance (MMD)",
        "lower",
        "How far synthetic images are from real ones; about 0 where nothing tells them apart.",
    ),
    COVERAGE: (
        "Diversity (coverage)",
        "higher",
        "Share of real images that have a synthetic one within reach; kinds of images that are missing lower it.",
    ),
}


@dataclass(frozen=True)
class FidelitySet:
    """Numbers in the features of one extractor that may stand together.

    Attributes:
        title: extractor, over whom, and how many images are behind a value.
        measures: columns of the table.
        lines: of the table.
        drawings: the curves.
    """

    title: str
    measures: tuple[str, ...]
    lines: tuple[AveragedFidelity, ...]
    drawings: tuple[Drawing, ...]


def fidelity_sets(found: Sequence[AveragedFidelity], inks: Mapping[str, str]) -> tuple[FidelitySet, ...]:
    """A set for each extractor, and more where runs cannot stand together.

    Args:
        found: of one question, in the order of `averaged_fidelity`.
        inks: colour of each line of the question.
    """
    return tuple(_set(tuple(lines), inks) for _, lines in groupby(found, _place))


def _place(each: AveragedFidelity) -> tuple[object, ...]:
    return each.extractor, each.features, each.over, each.sites, each.fewest, each.most


def _set(lines: tuple[AveragedFidelity, ...], inks: Mapping[str, str]) -> FidelitySet:
    first = lines[0]
    over = f"mean over {len(first.sites)} sites" if first.sites else first.over
    title = f"{first.extractor}, {over}, {_images(first)}"
    legend = tuple((each.name, inks[each.line]) for each in _once(lines))
    return FidelitySet(
        title=title,
        measures=tuple(each for each in MEASURES if any(line.get(each) for line in lines)),
        lines=lines,
        drawings=tuple(
            Drawing(title, about, curve, f"{CompareFile.name} fidelity", legend if len(inks) > 1 else ())
            for measure in DRAWN
            for title, better, about in (_ABOUT[measure],)
            if (curve := fidelity_curve(measure, better, lines, inks)) is not None
        ),
    )


def _once(lines: Sequence[AveragedFidelity]) -> list[AveragedFidelity]:
    return list({each.line: each for each in lines}.values())


def _images(each: AveragedFidelity) -> str:
    n = str(each.most) if each.fewest == each.most else f"{each.fewest} to {each.most}"
    return f"{n} images of either kind"


def why_apart(sets: Sequence[FidelitySet], runs: Sequence[ComparedRun]) -> tuple[str, ...]:
    """What to say of runs whose fidelity cannot stand together, or is known by other extractors alone.

    Args:
        sets: of one question.
        runs: of it.
    """
    said: dict[str, list[str]] = {}
    for extractor in dict.fromkeys(each.lines[0].extractor for each in sets):
        own = [each.lines for each in sets if each.lines[0].extractor == extractor]
        if len(own) > 1:
            told = "; ".join(f"{_images(lines[0])}: {_runs(lines)}" for lines in own)
            said.setdefault(f"{_reason(own)}, so their numbers stand apart ({told})", []).append(extractor)
        known = {run for lines in own for line in lines for run in line.runs}
        without = [run.run for run in runs if run.fidelity and run.run not in known]
        if without:
            said.setdefault(f"nothing is known of {', '.join(without)}", []).append(extractor)
    return tuple(
        f"NOT ONE FIDELITY: by {' and '.join(extractors)} {text}." for text, extractors in said.items()
    )


def _reason(own: Sequence[tuple[AveragedFidelity, ...]]) -> str:
    first = [lines[0] for lines in own]
    if len({each.features for each in first}) > 1:
        return "the runs were measured in other features of that name"
    if len({each.sites for each in first}) > 1:
        return "the runs were measured at other sites"
    return "the runs compare sets of other sizes, on which these measures depend"


def _runs(lines: Sequence[AveragedFidelity]) -> str:
    return ", ".join(sorted(run for line in lines for run in line.runs))
