"""`fedgen translate`: a released translation at work where the sources lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fedgen.cli.hints import EXPORT
from fedgen.errors import StudyError
from fedgen.run.hints import speak_as


def translate(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run of a study that translates, or its folder model.")
    ],
    data: Annotated[Path, typer.Option("--data", help="Folder of the sources, as the study's data lie.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder for what is made.")] = Path("translated"),
    form: Annotated[
        Literal["nifti", "dicom", "png"] | None,
        typer.Option("--format", help="Of what is written; that of the sources where not given."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Where the model runs, such as cuda.")] = "cpu",
) -> None:
    """Make the target of every patient in a folder with a released model, on the grid of each patient's own images."""
    if not data.is_dir():
        raise StudyError(f"--data {data} is not a folder: give the folder that holds the sources.")
    from fedgen.pipeline.translate import ReleasedModel
    from fedgen.pipeline.translate import translate as write
    from fedgen.training.devices import require_study_device

    speak_as(EXPORT)
    model = ReleasedModel.open(run)
    require_study_device(device)
    typer.echo(f"{model.card.target} from {' and '.join(model.card.sources)}: {model.card.statement}")
    count = 0
    for made in write(model, data, out, form, device):
        count += 1
        typer.echo(f"{made.patient} {made.study}".strip() + f": {made.files[0]}")
    typer.echo(
        f"{count} made in {out}. They are synthetic: for research only, and no diagnosis may rest on them."
    )
