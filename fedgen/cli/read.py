"""`fedgen read`: a blinded reading of a run's images by a person, and the rows that hospitals hand on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedgen.cli.runs import RunFolder
from fedgen.errors import StudyError


def read(
    run: RunFolder,
    reader: Annotated[
        str | None,
        typer.Option(
            "--reader",
            metavar="NAME",
            help="A pseudonym of who reads; a reader goes on by it.",
        ),
    ] = None,
    port: Annotated[int, typer.Option("--port", help="0 for a free one.", min=0, max=65535)] = 0,
    add: Annotated[
        list[Path] | None,
        typer.Option(
            "--add", metavar="FILE", help="A row that a hospital handed on (`fedgen-client read --row`)."
        ),
    ] = None,
) -> None:
    """Show real and synthetic images to a person who is not told which, at a page of this machine alone."""
    if (reader is None) == (not add):
        raise StudyError("Give --reader NAME to read, or --add FILE to take in what a hospital handed on.")
    if add:
        from fedgen.pipeline.readings import add_reading
        from fedgen.pipeline.workspace import Workspace

        for file in add:
            typer.echo(
                f"{add_reading(Workspace.open(run), file)}: its reading is in evaluation.json and report.html"
            )
        return
    from fedgen.pipeline.reading_run import simulated_desk
    from fedgen.reading.desk import serve

    serve(simulated_desk(run, reader or "", typer.echo), port, lambda link: typer.echo(f"Open {link}"))
