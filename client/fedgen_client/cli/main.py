"""The `fedgen-client` command: what a hospital types. Light: whatever loads torch is imported where it is used."""

from __future__ import annotations

from typing import Annotated

import typer

from fedgen import __version__
from fedgen.cli.shell import Shell
from fedgen_client.cli import check, join, ledger, log, page, read, start, studies, withdraw
from fedgen_client.hints import COMMAND

SHELL = Shell("fedgen-client", COMMAND)

app = typer.Typer(
    help="A hospital's part in a federation: its data stay, its policy rules, its budget is its own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("join")(join.join)
app.command("check")(check.check)
app.command("studies")(studies.studies)
app.command("approve")(studies.approve)
app.command("deny")(studies.deny)
app.command("start")(start.start)
app.command("page")(page.page)
app.command("read")(read.read)
app.command("ledger")(ledger.ledger)
app.command("log")(log.log)
app.command("withdraw")(withdraw.withdraw)


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
