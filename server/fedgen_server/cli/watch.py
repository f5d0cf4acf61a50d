"""`fedgen-server status` and `log`: what goes on, for a person and for a program."""

from __future__ import annotations

import json
import time
from typing import Annotated, Literal

import typer
from pydantic import Field

from fedgen.cli.as_json import AsJson, print_told, tells
from fedgen.schema.section import Section
from fedgen_server.cli.options import DEFAULT_FOLDER, Folder
from fedgen_server.folder import Federation

WATCH_SECONDS = 2.0


class SiteSeen(Section):
    """A site of the federation."""

    site: str = Field(description="name")
    state: Literal["member", "removed"] = Field(description="whether it is heard")
    online: bool = Field(description="whether it is connected now")
    last_seen: str | None = Field(description="null for never")


class RunSeen(Section):
    """A run of the federation."""

    study: str = Field(description="name")
    run: str = Field(description="its folder")
    state: Literal["offered", "running", "done", "failed", "interrupted"] = Field(
        description="`running` is also what a killed process leaves behind: see `conducted`"
    )
    conducted: bool = Field(description="whether a process conducts it now")
    round: int = Field(description="rounds finished")
    rounds: int = Field(description="rounds asked for")
    sites: tuple[str, ...] = Field(description="in the sum of the last round")
    roster: tuple[str, ...] = Field(description="all its sites")
    epsilon: float | None = Field(
        description="an upper bound so far; null before the first round and without privacy"
    )
    seconds_a_round: float | None = Field(description="the median so far")
    eta_seconds: float | None = Field(
        description="of training that is left at that pace; null where it is over"
    )


class StatusTold(Section):
    """The federation now."""

    federation: str = Field(description="name")
    address: str = Field(description="where the sites reach it")
    serving: bool = Field(description="whether `fedgen-server start` runs")
    sites: tuple[SiteSeen, ...] = Field(description="members and removed sites, by name")
    runs: tuple[RunSeen, ...] = Field(description="in the order in which they were published")


@tells(StatusTold)
def status(
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every two seconds, until Ctrl-C.")] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Sites and when each was last seen; runs with their rounds, epsilon and time to go."""
    from fedgen_server.overview import overview

    federation = Federation.open(folder)
    if as_json:
        print_told(StatusTold.model_validate_json(json.dumps(overview(federation))))
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
