"""`fedgen-client log`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fedgen.run.journal import Journal
from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, say, site
from fedgen_client.site_log import sentence


def log(
    as_json: Annotated[bool, typer.Option("--json", help="The lines as they are in the file.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what is written from now on.")] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Show everything that entered and left this site, and what was decided."""
    journal = Journal(site(folder).log)
    for entry in journal.follow() if follow else journal.entries():
        if as_json:
            typer.echo(json.dumps(entry))
        else:
            say(sentence(entry))
