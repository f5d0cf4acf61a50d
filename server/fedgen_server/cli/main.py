"""The `fedgen-server` command: a thin shell around the coordinator's rooms."""

from __future__ import annotations

from typing import Annotated

import typer

from fedgen import __version__
from fedgen.cli.deferred import deferring
from fedgen.cli.shell import Shell
from fedgen_server.hints import COMMAND

#: Where each command is, in the order of `--help`.
PLACES = {
    "init": "fedgen_server.cli.federation:init",
    "invite": "fedgen_server.cli.federation:invite",
    "sites": "fedgen_server.cli.members:sites",
    "fingerprint": "fedgen_server.cli.members:fingerprint",
    "cancel": "fedgen_server.cli.federation:cancel",
    "remove": "fedgen_server.cli.federation:remove",
    "renew": "fedgen_server.cli.federation:renew",
    "move": "fedgen_server.cli.federation:move",
    "start": "fedgen_server.cli.operate:start",
    "run": "fedgen_server.cli.operate:run",
    "resume": "fedgen_server.cli.operate:resume",
    "stop": "fedgen_server.cli.operate:stop",
    "page": "fedgen_server.cli.page_link:page",
    "release": "fedgen_server.cli.release:release",
    "status": "fedgen_server.cli.watch:status",
    "log": "fedgen_server.cli.watch:log",
    "demo": "fedgen_server.cli.demo:demo",
}

app = typer.Typer(
    help="Coordinate a federation: invite hospitals, run studies, follow them.",
    cls=deferring(PLACES),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with every error.")] = False,
) -> None:
    """Options before the command."""
    del debug  # read from the command line by the shell, so that errors while parsing are covered too


@app.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(__version__)


def run() -> None:
    """Entry point: turns every error into one sentence and an exit code."""
    Shell("fedgen-server", COMMAND).run(app)
