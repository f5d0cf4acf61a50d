"""`fedgen compare`: several runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedgen.cli.as_json import AsJson, print_told, tells
from fedgen.cli.hints import EXPORT
from fedgen.report.compare_file import CompareFile
from fedgen.run.hints import speak_as

if TYPE_CHECKING:
    from fedgen.report.compare_page import Panel
    from fedgen.report.fidelity_sets import FidelitySet


@tells(CompareFile)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, two or more.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the page and its numbers.")] = Path("compare"),
    as_json: AsJson = False,
) -> None:
    """Draw what releases are worth, and how like real images they are, by epsilon: compare.html, compare.json."""
    from fedgen.report.compare_page import PAGE, compare_runs, panels, splits

    speak_as(EXPORT)
    found = compare_runs(runs, out)
    if as_json:
        print_told(found)
        return
    console = Console()
    for panel in panels(found):
        console.print(_table(panel))
        for each in panel.fidelity:
            console.print(_fidelity(each))
        different = splits(panel.runs)
        lacking = [f"{run.run} lacks {', '.join(run.missing)}." for run in panel.runs if run.missing]
        for say in (*([] if different is None else [different]), *panel.apart, *lacking):
            console.print(say, style="yellow", markup=False, highlight=False, soft_wrap=True)
    if len(found.questions) > 1:
        sentence = (
            "These tables are of other data, tasks, judges or test patients, or of a simulation and a federation: they "
            "are not comparable with each other."
        )
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    console.print(f"page: {out / PAGE}", markup=False, highlight=False, soft_wrap=True)


def _table(panel: Panel) -> Table:
    from fedgen.report.numbers import DASH, epsilon, interval, number

    measure = next((each.measure for each in panel.averaged if each.measure), None) or "worth"
    table = Table(title=", ".join(panel.studies), title_justify="left", box=None, pad_edge=False)
    table.add_column("study", overflow="fold")
    for name in ("epsilon", measure, "interval", "runs", "SD", "audit"):
        table.add_column(name, justify="right", no_wrap=name != measure)
    for each in panel.averaged:
        spent = each.asked if each.epsilon is None else each.epsilon
        table.add_row(
            each.name,
            "none" if each.asked is None else epsilon(spent),
            number(each.value),
            interval(each.low, each.high),
            str(each.scored),
            number(each.std),
            DASH if each.verdict is None else each.verdict.value,
        )
    return table


def _fidelity(found: FidelitySet) -> Table:
    from fedgen.report.compare_fidelity import DRAWN
    from fedgen.report.numbers import epsilon, interval, number

    table = Table(title=f"Fidelity by {found.title}", title_justify="left", box=None, pad_edge=False)
    table.add_column("study", overflow="fold")
    for name in ("epsilon", "measure", "value", "interval", "floor"):
        table.add_column(name, justify="right", no_wrap=True)
    for measure in DRAWN:
        for each in found.lines:
            own = each.get(measure)
            if own is None:
                continue
            spent = each.asked if each.epsilon is None else each.epsilon
            table.add_row(
                each.name,
                "none" if each.asked is None else epsilon(spent),
                measure,
                number(own.value),
                interval(own.low, own.high),
                number(own.floor),
            )
    return table
