"""`fedgen-server init`, `invite`, `sites`, `remove` and `renew`: who is in the federation, and how it is reached."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedgen.errors import StudyError
from fedgen.protocol.invitation import encode_invitation
from fedgen_server.certificates import ends
from fedgen_server.cli.options import DEFAULT_FOLDER, ENVIRONMENT, Folder
from fedgen_server.folder import Federation, GivenCertificate

RESTART = "Stop `fedgen-server start` and start it again to use it; the sites need to do nothing."


def init(
    name: Annotated[str, typer.Option("--name", help="What the federation is called.")],
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="Where the sites will reach it.")
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", envvar=ENVIRONMENT, help="Folder to make it in.")
    ] = DEFAULT_FOLDER,
    host: Annotated[str, typer.Option("--host", help="Local address to listen on.")] = "0.0.0.0",
    port: Annotated[
        int | None, typer.Option("--port", help="Local port to listen on, that of --address by default.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="Server certificate of your own authority, PEM.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Its private key, PEM.")] = None,
    ca: Annotated[Path | None, typer.Option("--ca", help="The authority's own certificate, PEM.")] = None,
) -> None:
    """Make a federation: its keys, its certificates and its federation.yaml."""
    federation = Federation.create(
        folder, name=name, address=address, host=host, port=port, certificate=_given(certificate, key, ca)
    )
    config = federation.config
    typer.echo(
        f"Made the federation {config.name} in {folder}.\n"
        f"The sites reach it at {config.address}; it listens on {config.host}, port {config.port}.\n"
        "No other port needs to be open, and none at a site.\n"
        f"Its authority's SHA-256 fingerprint, which every token carries, is {federation.ca_sha256}.\n"
        f"Its server certificate ends on {ends(federation.paths.certificate.read_bytes()):%Y-%m-%d}.\n"
        "Next: `fedgen-server invite SITE` for each hospital, then `fedgen-server start`.\n"
        f"Keep {folder} private and backed up: whoever has its keys is the coordinator."
    )


def invite(
    site: Annotated[str, typer.Argument(metavar="SITE", help="The name the hospital will have.")],
    hours: Annotated[float, typer.Option("--hours", help="How long the token is good.")] = 72.0,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Print a join token for one site: good once, until it expires."""
    federation = Federation.open(folder)
    invitation = federation.invite(site, hours)
    typer.echo(encode_invitation(invitation))
    typer.echo(
        f"This token lets {site} join {federation.config.name} once, until {invitation.expires:%Y-%m-%d %H:%M} UTC. "
        "Hand it over as you would a password; an earlier unused token of this site is void.\n"
        "The hospital then types: fedgen-client join TOKEN",
        err=True,
    )


def sites(folder: Folder = DEFAULT_FOLDER) -> None:
    """List the sites and the open invitations."""
    from rich.console import Console
    from rich.table import Table

    federation = Federation.open(folder)
    table = Table(box=None, pad_edge=False)
    for title in ("site", "state", "since (UTC)", "identity key"):
        table.add_column(title, no_wrap=True)
    for name, site in sorted(federation.sites.all().items()):
        since = site.revoked or site.joined
        table.add_row(
            name, "member" if site.active else "removed", f"{since:%Y-%m-%d %H:%M}", site.identity_key[:16]
        )
    for one in federation.invitations.pending(datetime.now(UTC)):
        table.add_row(
            one.site, "invited", f"{one.created:%Y-%m-%d %H:%M}", f"expires {one.expires:%Y-%m-%d %H:%M}"
        )
    if table.row_count == 0:
        typer.echo("No site has joined or is invited: `fedgen-server invite SITE`.")
    else:
        Console(soft_wrap=True).print(table)


def remove(
    site: Annotated[str, typer.Argument(metavar="SITE", help="Its name.")], folder: Folder = DEFAULT_FOLDER
) -> None:
    """Remove a site: from now on nothing it says is heard, and it is offered no study."""
    federation = Federation.open(folder)
    removed = federation.remove(site)
    if federation.paths.database.exists():
        from fedgen.flower.state import open_state
        from fedgen.flower.superlink import remove_node

        remove_node(open_state(federation.paths.database), removed.node_key.encode())
    typer.echo(
        f"Removed {site} from {federation.config.name}. What it contributed to models so far stays in them; a run that "
        "has it on its roster goes on without it."
    )


def renew(
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="New server certificate, PEM, where yours is used.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Its private key, PEM.")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Give the server a new certificate of the same authority."""
    federation = Federation.open(folder)
    end = federation.renew(certificate, key)
    typer.echo(f"The new certificate for {federation.config.public_host} ends on {end:%Y-%m-%d}. {RESTART}")


def _given(certificate: Path | None, key: Path | None, ca: Path | None) -> GivenCertificate | None:
    if certificate is None and key is None and ca is None:
        return None
    if certificate is None or key is None or ca is None:
        raise StudyError("A certificate of your own needs all three: give --certificate, --key and --ca.")
    return GivenCertificate(certificate, key, ca)
