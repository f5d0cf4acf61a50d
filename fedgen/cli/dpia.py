"""`fedgen study dpia`: a data protection impact assessment, filled in as far as the study tells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedgen.cli.patients import Patients
from fedgen.errors import StudyError
from fedgen.run.atomic import write_atomic

File = Annotated[str, typer.Argument(metavar="STUDY", help="Study file, or the name of a preset.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key, such as privacy.epsilon=3; may be repeated."
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write it here instead; never over a file.")
]


def dpia(file: File, overrides: Overrides = None, patients: Patients = None, out: Out = None) -> None:
    """Draft a data protection impact assessment: what the study says filled in, what only you know marked."""
    if out is not None and out.exists():
        raise StudyError(
            f"{out} exists, and may have been filled in by somebody: choose another name for --out, or move it away."
        )
    # Here: with them come pydantic, torch and Opacus, which take seconds to load.
    from fedgen.api.study_given import study as study_of

    study = study_of(file, overrides or (), patients=patients or ())

    from fedgen.planning.dpia.impact_assessment import impact_assessment

    text = impact_assessment(study, patients or ())
    if out is None:
        typer.echo(text, nl=False)
        return
    write_atomic(out, text.encode())
    typer.echo(f"wrote {out}: fill in what is marked")
