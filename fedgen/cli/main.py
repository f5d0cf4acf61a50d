"""The `fedgen` command: a thin shell around the stages."""

from __future__ import annotations

from typing import Annotated

import typer

from fedgen import __version__
from fedgen.cli.deferred import deferring
from fedgen.cli.hints import COMMAND
from fedgen.cli.shell import Shell

#: Where each command is, in the order of `--help`.
PLACES = {
    "simulate": "fedgen.cli.runs:simulate",
    "train": "fedgen.cli.runs:train",
    "synthesize": "fedgen.cli.runs:synthesize",
    "audit": "fedgen.cli.audit_command:audit",
    "evaluate": "fedgen.cli.runs:evaluate",
    "report": "fedgen.cli.runs:report",
    "runs": "fedgen.cli.list_runs:list_runs",
    "compare": "fedgen.cli.compare:compare",
    "read": "fedgen.cli.read:read",
    "release": "fedgen.cli.releases:release",
    "verify": "fedgen.cli.releases:verify_release",
    "load": "fedgen.cli.releases:load",
    "translate": "fedgen.cli.translate:translate",
    "withdraw": "fedgen.cli.withdraw:withdraw",
    "study": "fedgen.cli.study:app",
    "data": "fedgen.cli.data:app",
    "privacy": "fedgen.cli.privacy:app",
    "prior": "fedgen.cli.prior:app",
    "models": "fedgen.cli.models:models",
    "import": "fedgen.cli.bring:bring",
    "export": "fedgen.cli.export:export",
}

app = typer.Typer(
    help="Federated, private training of medical image generators, with audited synthetic data.",
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
    del debug  # read from the command line in `run`, so that errors while parsing are covered too


@app.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(__version__)


def run() -> None:
    """Entry point: turns every error into one sentence and an exit code."""
    Shell("fedgen", COMMAND).run(app)
