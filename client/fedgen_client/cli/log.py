"""`fedgen-client log`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fedgen.errors import DataError
from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, say, site
from fedgen_client.site_log import sentence


def log(
    as_json: Annotated[bool, typer.Option("--json", help="The lines as they are in the file.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what is written from now on.")] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Show everything that entered and left this site, and what was decided; exit 4 where the log was changed."""
    journal = site(folder).journal
    for entry in journal.follow() if follow else journal.entries():
        if as_json:
            typer.echo(json.dumps(entry))
        else:
            say(sentence(entry))
    broken = journal.verify().broken
    if broken is not None:
        raise DataError(
            f"The log {journal.path} {broken}, so what is above may not be all that passed: find out who changed the "
            "file, and restore it and its head from their backup."
        )
