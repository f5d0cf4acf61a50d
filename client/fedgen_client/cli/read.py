"""`fedgen-client read`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedgen.errors import StudyError
from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, StudyName, say, site
from fedgen_client.studies import Studies


def read(
    study: StudyName,
    reader: Annotated[
        str | None,
        typer.Option("--reader", metavar="NAME", help="A pseudonym of who reads; a reader goes on by it."),
    ] = None,
    port: Annotated[int, typer.Option("--port", help="0 for a free one.", min=0, max=65535)] = 0,
    row: Annotated[
        Path | None,
        typer.Option(
            "--row", metavar="FILE", help="Write the one row that may leave, to hand to the coordinator."
        ),
    ] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Show a study's synthetic images beside this site's own to a person who is not told which is which."""
    if (reader is None) == (row is None):
        raise StudyError("Give --reader NAME to read, or --row FILE to write what may leave of the readings.")
    from fedgen_client.reading_desk import hospital_desk, write_row  # loads torch

    place = site(folder)
    offered = Studies(place).find(study)
    if row is not None:
        write_row(place, offered, row)
        say(
            f"{row}: one row of numbers, and no image or answer. The coordinator takes it in with `fedgen read --add`."
        )
        return
    from fedgen.reading.desk import serve

    serve(hospital_desk(place, offered, reader or "", say), port, lambda link: say(f"Open {link}"))
