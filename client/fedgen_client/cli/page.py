"""`fedgen-client page`: the site's own page on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, say, site

if TYPE_CHECKING:
    from fedgen.dashboard.access import May


def page(
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Give out no link by which anything could be decided.")
    ] = False,
    port: Annotated[int, typer.Option("--port", help="0 for a free one.", min=0, max=65535)] = 0,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Show this site's studies, budget and log in a browser of this machine, and approve or deny there."""
    from fedgen_client.site_page.serve_site import serve_page  # loads a web server

    serve_page(site(folder), port, read_only, _tell)


def _tell(links: Mapping[May, str]) -> None:
    if "operate" in links:
        say(f"To decide, as `fedgen-client approve` does:\n    {links['operate']}")
    say(f"To look, for the data protection officer; nothing can be decided by it:\n    {links['read']}")
    say("Each link is a password, for a browser of this machine alone. End with Ctrl-C.")
