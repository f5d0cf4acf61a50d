"""`fedgen runs`: what there is in a folder of runs, and the removal of what nothing needs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedgen.cli.as_json import AsJson, print_told, tells
from fedgen.errors import StudyError
from fedgen.pipeline.kept_runs import KeptRuns
from fedgen.run.directory import RunDirectory

if TYPE_CHECKING:
    from rich.table import Table


@tells(KeptRuns)
def list_runs(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where the runs are.")] = Path("runs"),
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the runs that nothing needs, once asked.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them without being asked.")] = False,
    as_json: AsJson = False,
) -> None:
    """List runs with their status, epsilon, verdict and disk use; --prune never removes a needed ledger or release."""
    from rich.console import Console

    from fedgen.pipeline.kept_runs import kept_runs, remove_run

    if RunDirectory(folder).study.is_file():
        raise StudyError(
            f"{folder} is itself a run: name the folder that it is in, {folder.absolute().parent}."
        )
    found = kept_runs(folder)
    if as_json and not prune:
        print_told(found)
        return
    if as_json:
        raise StudyError("--json only lists: leave out --prune, or --json.")
    console = Console()

    def say(sentence: str) -> None:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    if not found.runs:
        say(f"There is no run in {folder}.")
        return
    console.print(_table(found))
    for run in found.runs:
        if run.needed is not None and prune:
            say(f"{run.run} is kept: {run.needed}.")
    going = [run.run for run in found.runs if run.needed is None]
    if not prune:
        say(
            f"{_megabytes(found.size)} in all; `fedgen runs --prune` would free {_megabytes(found.prunable)}."
        )
        return
    if not going:
        say("Nothing can be removed.")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise StudyError(
                f"Nobody can be asked here whether to remove {len(going)} runs: read the above and add --yes."
            )
        if not typer.confirm(
            f"Remove {', '.join(going)} and free {_megabytes(found.prunable)}?", default=False
        ):
            say("Nothing was removed.")
            return
    for name in going:
        remove_run(folder, name)
    say(f"Removed {len(going)} {'run' if len(going) == 1 else 'runs'}, {_megabytes(found.prunable)}.")


def _table(found: KeptRuns) -> Table:
    from rich.table import Table

    from fedgen.mechanisms.statement import rounded_up

    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold")
    for name in ("status", "epsilon", "audit", "disk"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("with --prune")
    for run in found.runs:
        epsilon = "-" if run.epsilon is None else f"{rounded_up(run.epsilon):.2f}"
        verdict = "-" if run.verdict is None else run.verdict.value
        fate = "removed" if run.needed is None else "kept"
        table.add_row(run.run, run.status, epsilon, verdict, _megabytes(run.size), fate)
    return table


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"
