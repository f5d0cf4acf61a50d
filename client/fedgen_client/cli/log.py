"""`fedgen-client log`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, say, site
from fedgen_client.site_log import Entry, SiteLog, parse_line, sentence

POLL_SECONDS = 0.5


def log(
    as_json: Annotated[bool, typer.Option("--json", help="The lines as they are in the file.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what is written from now on.")] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Show everything that entered and left this site, and what was decided."""
    site_log = SiteLog(site(folder).log)
    for entry in _following(site_log) if follow else site_log.entries():
        if as_json:
            typer.echo(json.dumps(entry))
        else:
            say(sentence(entry))


def _following(site_log: SiteLog) -> Iterator[Entry]:
    while not site_log.path.exists():
        time.sleep(POLL_SECONDS)
    with site_log.path.open("rb") as handle:
        begun = b""
        while True:
            # A line that is being written has no end yet.
            begun += handle.readline()
            if begun.endswith(b"\n"):
                yield parse_line(begun)
                begun = b""
            else:
                time.sleep(POLL_SECONDS)
