"""The page of a comparison: a curve and a table for each set of runs that may be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from fedgen import __version__
from fedgen.errors import StudyError
from fedgen.report.compare_chart import line_inks, utility_curve
from fedgen.report.compare_file import Averaged, ComparedRun, CompareFile
from fedgen.report.compare_runs import compare
from fedgen.report.fidelity_sets import FidelitySet, fidelity_sets, why_apart
from fedgen.report.page import environment
from fedgen.report.rank_agreement import RankAgreement
from fedgen.run.atomic import write_atomic
from fedgen.run.directory import RunDirectory
from fedgen.run_view import RunView

PAGE = "compare.html"
#: What no comparison of runs says, whatever they are.
LIMITS = (
    "Intervals are over test patients. The spread over runs of one study, by another seed or with other noise, is "
    "shown where there are several; of one run nothing is known of how another would do.",
    "Every run reads its patients anew. What several runs on the same patients cost together is more than any of these "
    "epsilons, and choosing the best of them by its score is no part of any.",
    "Runs are put in one table where the sections data, task and evaluation of their studies are the same and every "
    "site has as many test patients, and are averaged where nothing but the seed differs.",
)


@dataclass(frozen=True)
class Panel:
    """Runs that may be compared.

    Attributes:
        studies: their names.
        averaged: lines of the table.
        runs: each run.
        curve: None where nothing is known of what they are worth.
        legend: name and colour of each line of the curve.
        fidelity: how like real images theirs are, by each extractor.
        apart: sentences on those of them whose fidelity cannot be compared.
        agreement: of extractors about the order of the runs.
    """

    studies: tuple[str, ...]
    averaged: tuple[Averaged, ...]
    runs: tuple[ComparedRun, ...]
    curve: ET.Element | None
    legend: tuple[tuple[str, str], ...]
    fidelity: tuple[FidelitySet, ...]
    apart: tuple[str, ...]
    agreement: tuple[RankAgreement, ...]


def splits(runs: Sequence[ComparedRun]) -> str | None:
    """What to say of runs that were not all tested on the same patients; None where they were.

    The split of the patients follows `study.seed`, in a simulation and at each hospital alike.
    """
    seeds = sorted({run.seed for run in runs})
    if len(seeds) < 2:
        return None
    return (
        f"NOT ONE SPLIT: the runs have the seeds {', '.join(map(str, seeds))}, and each seed deals the patients to "
        "training and test anew. A difference between lines of other seeds is also one of who was tested."
    )


def compare_runs(folders: Sequence[Path], out: Path) -> CompareFile:
    """Compare runs, and write `compare.html` and `compare.json` into `out`.

    Raises:
        StudyError: a folder is no run, or is named twice, or is a copy of another.
        DataError: a file of a run is damaged, or the disk is full.
    """
    known = [folder.resolve() for folder in folders]
    twice = sorted({str(folder) for folder in known if known.count(folder) > 1})
    if twice:
        raise StudyError(f"{', '.join(twice)} is given twice: name each run once.")
    for folder in known:
        if not (folder / "study.yaml").is_file():
            raise StudyError(f"{folder} is no run folder (it has no study.yaml): name folders under runs/.")
    names = [folder.name for folder in known]
    if len(set(names)) < len(names):
        raise StudyError(
            "Two of the runs have folders of the same name: rename one, or nobody can tell them apart."
        )
    views = [RunView(RunDirectory(folder)) for folder in known]
    found = compare(views)
    _refuse_copies(found, views)
    found.write(RunDirectory(out))
    write_atomic(out / PAGE, render(found).encode())
    return found


def _refuse_copies(found: CompareFile, views: Sequence[RunView]) -> None:
    """A run and its copy are no two runs: averaged, they would look as if another seed did as well."""
    seen: dict[tuple[object, ...], str] = {}
    for run, view in zip(found.runs, views, strict=True):
        model = view.summary.model.sha256 if view.summary.model else None
        before = seen.setdefault((run.question, run.line, run.asked, run.seed, model or run.run), run.run)
        if before != run.run:
            raise StudyError(
                f"{before} and {run.run} have one study and one model: they are copies, or repeat each other, and "
                "count once. Name one of them."
            )


def panels(found: CompareFile) -> list[Panel]:
    """A panel for each question, in the order of the runs."""
    made = []
    for question in found.questions:
        averaged = tuple(each for each in found.averaged if each.question == question)
        runs = tuple(run for run in found.runs if run.question == question)
        inks = line_inks(averaged)
        names = {each.line: each.name for each in averaged if each.value is not None}
        own = fidelity_sets([each for each in found.fidelity if each.question == question], inks)
        made.append(
            Panel(
                studies=tuple(dict.fromkeys(run.study for run in runs)),
                averaged=averaged,
                runs=runs,
                curve=utility_curve(averaged, inks),
                legend=tuple((name, inks[line]) for line, name in names.items()),
                fidelity=own,
                apart=why_apart(own, runs),
                agreement=tuple(each for each in found.agreement if each.question == question),
            )
        )
    return made


def render(found: CompareFile, *, now: datetime | None = None) -> str:
    """The page as text."""
    moment = (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC")
    template = environment().get_template("compare.html")
    return template.render(
        panels=panels(found), splits=splits, runs=found.runs, limits=LIMITS, version=__version__, now=moment
    )
