"""`fedgen-server page`: links to the federation's page, and who has one."""

from __future__ import annotations

from typing import Annotated

import typer

from fedgen.dashboard.addresses import ROOT
from fedgen.errors import StudyError
from fedgen_server.certificates import fingerprint
from fedgen_server.cli.options import DEFAULT_FOLDER, Folder
from fedgen_server.folder import Federation


def page(
    read_only: Annotated[
        bool, typer.Option("--read-only-token", help="The link only shows; it neither stops nor resumes.")
    ] = False,
    days: Annotated[float, typer.Option("--days", help="How long the token is good.")] = 30.0,
    tokens: Annotated[bool, typer.Option("--list", help="List the tokens, without what opens.")] = False,
    void: Annotated[
        str | None,
        typer.Option("--void", metavar="ID", help="Make a token void, or all: its browsers are out."),
    ] = None,
    bare: Annotated[
        bool, typer.Option("--token", help="Print the token alone, as Prometheus needs it for /metrics.")
    ] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Print a link to the page on which the federation can be watched, and its runs stopped and resumed."""
    if tokens and void is not None:
        raise StudyError("--list and --void are two things: give one of them.")
    federation = Federation.open(folder)
    passes = federation.page_passes
    if tokens:
        for each in passes.all():
            what = "reads and operates" if each.may == "operate" else "reads"
            typer.echo(f"{each.id}  {what}, until {each.expires:%Y-%m-%d %H:%M} UTC")
        if not passes.all():
            typer.echo("There is no token for the page: `fedgen-server page` makes one.")
        return
    if void is not None:
        gone = passes.void(None if void == "all" else void)
        federation.log.write("page_voided", tokens=void)
        typer.echo(f"{gone} {'token is' if gone == 1 else 'tokens are'} void, and who came with them is out.")
        return
    token, kept = passes.issue("read" if read_only else "operate", days)
    federation.log.write("page_issued", token=kept.id, may=kept.may, expires=kept.expires.isoformat())
    typer.echo(token if bare else f"https://{federation.config.address}{ROOT}#{token}")
    may = "shows every run" if read_only else "shows every run, and stops and resumes them"
    typer.echo(
        f"It {may}, until {kept.expires:%Y-%m-%d %H:%M} UTC: hand it over as you would a password. "
        f"`fedgen-server page --void {kept.id}` makes it void.",
        err=True,
    )
    if federation.config.certificate == "own" and not bare:
        paths = federation.paths
        typer.echo(
            "The browser warns of a certificate that it does not know: see that its SHA-256 fingerprint is "
            f"{fingerprint(paths.certificate.read_bytes())}, or give the browser {paths.ca} as an authority.",
            err=True,
        )
