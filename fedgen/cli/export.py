"""`fedgen export`: a finished run's weights, for other studies to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedgen.cli.hints import EXPORT
from fedgen.cli.runs import RunFolder
from fedgen.run.hints import speak_as


def export(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new file, ending in .safetensors.")],
    public: Annotated[
        str | None,
        typer.Option(
            "--public",
            metavar="WHAT",
            help="Declares that the run's data are public: which, and by which licence, in one sentence.",
        ),
    ] = None,
) -> None:
    """Write a finished run's averaged weights as safetensors, and print the lines with which a study starts there."""
    from fedgen.pipeline.export import export as write
    from fedgen.pipeline.workspace import Workspace

    speak_as(EXPORT)
    exported = write(Workspace.open(run), out, public)
    typer.echo(f"# {exported.path}: {exported.origin.statement}")
    typer.echo(
        "# Start from it with --pretrained, in a study of the same family and image size, with these lines:"
    )
    typer.echo(exported.yaml, nl=False)
