"""`fedgen-server status` and `log`: what goes on, for a person and for a program."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from fedgen_server.cli.options import DEFAULT_FOLDER, Folder
from fedgen_server.folder import Federation

WATCH_SECONDS = 2.0


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every two seconds, until Ctrl-C.")] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Sites and when each was last seen; runs with their rounds, epsilon and time to go."""
    from fedgen_server.overview import overview

    federation = Federation.open(folder)
    if as_json:
        typer.echo(json.dumps(overview(federation), indent=2))
        return

    from rich.console import Console
    from rich.live import Live

    from fedgen_server.cli.tables import tables

    console = Console()
    if not watch:
        console.print(tables(overview(federation)))
        return
    with Live(tables(overview(federation)), console=console, refresh_per_second=4) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            live.update(tables(overview(federation)))


def log(
    as_json: Annotated[bool, typer.Option("--json", help="The lines as they are stored.")] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Who was invited, joined or removed, when the server ran, and what became of each study."""
    for entry in Federation.open(folder).log.entries():
        if as_json:
            typer.echo(json.dumps(entry))
        else:
            moment = str(entry.get("time", "?")).replace("T", " ")[:19]
            fields = ", ".join(f"{k} {v}" for k, v in entry.items() if k not in ("time", "event"))
            typer.echo(f"{moment}  {entry.get('event', '?'):<10} {fields}".rstrip())
