"""`fedgen-client move`."""

from __future__ import annotations

from typing import Annotated

import typer

from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, say, site
from fedgen_client.moving import move as move_to


def move(
    address: Annotated[
        str,
        typer.Argument(metavar="HOST:PORT", help="Where the coordinator is now, as its operator told you."),
    ],
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Reach the coordinator at another address; the pinned authority, the keys and the ledgers stay as they are."""
    moved = move_to(site(folder), address)
    say(f"{moved.site} reaches {moved.federation} at {moved.address} now. Next: run `fedgen-client start`.")
