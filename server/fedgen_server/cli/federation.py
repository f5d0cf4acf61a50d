"""`fedgen-server init`, `invite`, `cancel`, `remove`, `renew`, `move`: who is in it, and how it is reached."""

from __future__ import annotations

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


def cancel(
    site: Annotated[str, typer.Argument(metavar="SITE", help="Who was invited.")],
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Cancel an invitation that was not used yet: its token is void from now on."""
    federation = Federation.open(folder)
    federation.cancel_invitation(site)
    typer.echo(f"The token of {site} is void. `fedgen-server invite {site}` makes another.")


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


def move(
    address: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="Where the sites will reach the coordinator.")
    ],
    port: Annotated[
        int | None, typer.Option("--port", help="Local port to listen on, where it changes otherwise.")
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", help="Server certificate for it, PEM, where yours is used."),
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Its private key, PEM.")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Give the federation another address, with a certificate for it; keys, members and studies stay."""
    before = Federation.open(folder)
    moved, invited = before.move(address, port=port, certificate=certificate, key=key)
    members = sorted(moved.sites.active())
    typer.echo(
        f"The sites reach {moved.config.name} at {moved.config.address} from now on; it listens on "
        f"{moved.config.host}, port {moved.config.port}.\n"
        "Stop `fedgen-server start` and start it again to use it.\n"
        f"Tell each site ({', '.join(members) or 'none yet'}) to stop, and to type:\n"
        f"  fedgen-client move {moved.config.address}"
    )
    if invited:
        typer.echo(
            f"Tokens that were not used say the old address and are void: invite {', '.join(invited)} again."
        )


def _given(certificate: Path | None, key: Path | None, ca: Path | None) -> GivenCertificate | None:
    if certificate is None and key is None and ca is None:
        return None
    if certificate is None or key is None or ca is None:
        raise StudyError("A certificate of your own needs all three: give --certificate, --key and --ca.")
    return GivenCertificate(certificate, key, ca)
