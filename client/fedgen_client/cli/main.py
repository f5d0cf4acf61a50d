"""The `fedgen-client` command: what a hospital types. Light: whatever loads torch is imported where it is used."""

from __future__ import annotations

from typing import Annotated

import typer

from fedgen import __version__
from fedgen.cli.deferred import deferring
from fedgen.cli.shell import Shell
from fedgen_client.hints import COMMAND

SHELL = Shell("fedgen-client", COMMAND)
#: Where each command is, in the order of `--help`.
PLACES = {
    "join": "fedgen_client.cli.join:join",
    "check": "fedgen_client.cli.check:check",
    "fingerprint": "fedgen_client.cli.fingerprint:fingerprint",
    "studies": "fedgen_client.cli.studies:studies",
    "approve": "fedgen_client.cli.studies:approve",
    "deny": "fedgen_client.cli.studies:deny",
    "start": "fedgen_client.cli.start:start",
    "page": "fedgen_client.cli.page:page",
    "read": "fedgen_client.cli.read:read",
    "move": "fedgen_client.cli.move:move",
    "ledger": "fedgen_client.cli.ledger:ledger",
    "log": "fedgen_client.cli.log:log",
    "withdraw": "fedgen_client.cli.withdraw:withdraw",
}

app = typer.Typer(
    help="A hospital's part in a federation: its data stay, its policy rules, its budget is its own.",
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
    SHELL.run(app)
