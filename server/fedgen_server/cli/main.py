"""The `fedgen-server` command: a thin shell around the coordinator's rooms."""

from __future__ import annotations

from typing import Annotated

import typer

from fedgen import __version__
from fedgen.cli.shell import Shell
from fedgen_server.cli import demo, federation, operate, page_link, release, watch
from fedgen_server.hints import COMMAND

#: Each has `add_to(app)`, which puts its commands on the application, in the order of `--help`.
MODULES = (federation, operate, page_link, release, watch, demo)

app = typer.Typer(
    help="Coordinate a federation: invite hospitals, run studies, follow them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in MODULES:
    module.add_to(app)


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
