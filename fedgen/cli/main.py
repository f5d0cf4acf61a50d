"""The `fedgen` command: a thin shell around the stages."""

from __future__ import annotations

from typing import Annotated

import typer

from fedgen import __version__
from fedgen.cli import (
    audit_command,
    bring,
    compare,
    data,
    decoded,
    export,
    models,
    prior,
    privacy,
    read,
    releases,
    runs,
    study,
    translate,
    withdraw,
)
from fedgen.cli.hints import COMMAND
from fedgen.cli.shell import Shell

app = typer.Typer(
    help="Federated, private training of medical image generators, with audited synthetic data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(study.app, name="study")
app.add_typer(data.app, name="data")
app.add_typer(privacy.app, name="privacy")
app.add_typer(prior.app, name="prior")
data.app.command("cache")(decoded.cache)
app.command("models")(models.models)
app.command("compare")(compare.compare)
app.command("audit")(audit_command.audit)
app.command("export")(export.export)
app.command("read")(read.read)
app.command("translate")(translate.translate)
app.command("import")(bring.bring)
runs.add_to(app)
releases.add_to(app)
app.command("withdraw")(withdraw.withdraw)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with every error.")] = False,
) -> None:
    """Options before the command."""
    del debug  # read from the command line in `run`, so that errors while parsing are covered too


@app.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(__version__)


def run() -> None:
    """Entry point: turns every error into one sentence and an exit code."""
    Shell("fedgen", COMMAND).run(app)
