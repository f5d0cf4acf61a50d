"""`fedgen-server sites` and `fingerprint`: who is in the federation, and by which key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from pydantic import Field

from fedgen.cli.as_json import AsJson, print_told, tells
from fedgen.errors import StudyError
from fedgen.protocol.spoken_key import spoken_key
from fedgen.schema.section import Section
from fedgen_server.cli.options import DEFAULT_FOLDER, Folder
from fedgen_server.folder import Federation

#: Of a fingerprint, in a table that a narrow terminal can show: three groups, for the eye and for no comparison.
BEGINNING = 17


class ListedSite(Section):
    """A site, or an open invitation."""

    site: str = Field(description="name in the federation")
    state: Literal["member", "removed", "invited"] = Field(
        description="`invited` has a token that it may still use"
    )
    since: str = Field(description="when it joined, was removed or was invited")
    expires: str | None = Field(description="when the token of an invited site expires")
    fingerprint: str | None = Field(description="of its identity key: 40 digits in groups of five")


class ListedSites(Section):
    """The sites of a federation, and its open invitations."""

    federation: str = Field(description="its name")
    sites: tuple[ListedSite, ...] = Field(description="members and removed sites by name, then invitations")


class CoordinatorKey(Section):
    """The coordinator's own key, and those of the members as it knows them."""

    federation: str = Field(description="its name")
    fingerprint: str = Field(description="of the key that signs its studies: 40 digits in groups of five")
    sites: dict[str, str] = Field(description="name of each member to the fingerprint of its key")


@tells(ListedSites)
def sites(as_json: AsJson = False, folder: Folder = DEFAULT_FOLDER) -> None:
    """List the sites and the open invitations."""
    told = _listed(Federation.open(folder))
    if as_json:
        print_told(told)
        return
    if not told.sites:
        typer.echo("No site has joined or is invited: `fedgen-server invite SITE`.")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("site", "state", "since (UTC)", "fingerprint begins"):
        table.add_column(title, no_wrap=True)
    for one in told.sites:
        last = (
            f"expires {_moment(one.expires or '')}"
            if one.fingerprint is None
            else one.fingerprint[:BEGINNING]
        )
        table.add_row(one.site, one.state, _moment(one.since), last)
    Console(soft_wrap=True).print(table)


@tells(CoordinatorKey)
def fingerprint(
    site: Annotated[str | None, typer.Argument(metavar="[SITE]", help="One member's instead of all.")] = None,
    as_json: AsJson = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Print the fingerprints of the coordinator's key and of the members' keys, in a form for the telephone."""
    federation = Federation.open(folder)
    members = {
        name: _spoken(member.identity_key) for name, member in sorted(federation.sites.active().items())
    }
    if site is not None and site not in members:
        raise StudyError(f"{site} is no member: `fedgen-server sites` lists them.")
    chosen = members if site is None else {site: members[site]}
    told = CoordinatorKey(
        federation=federation.config.name,
        fingerprint=spoken_key(federation.identity.public_key),
        sites=chosen,
    )
    if as_json:
        print_told(told)
        return
    typer.echo(f"coordinator: {told.fingerprint}")
    for name, digits in chosen.items():
        typer.echo(f"{name}: {digits}")
    typer.echo(
        "A site must not take these from you: it asks the other site's own people, who run `fedgen-client fingerprint`."
    )


def _listed(federation: Federation) -> ListedSites:
    members = [
        ListedSite(
            site=name,
            state="member" if site.active else "removed",
            since=(site.revoked or site.joined).isoformat(),
            expires=None,
            fingerprint=_spoken(site.identity_key),
        )
        for name, site in sorted(federation.sites.all().items())
    ]
    invited = [
        ListedSite(
            site=one.site,
            state="invited",
            since=one.created.isoformat(),
            expires=one.expires.isoformat(),
            fingerprint=None,
        )
        for one in federation.invitations.pending(datetime.now(UTC))
    ]
    return ListedSites(federation=federation.config.name, sites=(*members, *invited))


def _spoken(key: str) -> str:
    return spoken_key(bytes.fromhex(key))


def _moment(time: str) -> str:
    return time.replace("T", " ")[:16]
