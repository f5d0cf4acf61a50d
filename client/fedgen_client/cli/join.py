"""`fedgen-client join`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, say, site
from fedgen_client.enrol import Enrolled
from fedgen_client.enrol import join as enrol


def join(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="As the coordinator gave it to you.")],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Folder of the images, for a new site file.")
    ] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Join a federation: make keys here, pin the coordinator's certificate authority, register the public keys."""
    place = site(folder)
    joined = enrol(place, token, data)
    membership = joined.membership
    say(f"{'Still' if joined.again else 'Now'} {membership.site} of the federation {membership.federation}.")
    say(f"Private keys were made in {place.path} and never leave it: keep a backup of that folder.")
    if data is not None and not joined.site_file_made:
        say(
            f"{place.site_file} was there already and is left alone: write the folder {data} into it yourself.",
            "yellow",
        )
    say(_next(joined, place.site_file, data))


def _next(joined: Enrolled, site_file: Path, data: Path | None) -> str:
    if joined.site_file_made and data is None:
        return f"Next: write the folder of the images and your policy into {site_file}, then run `fedgen-client check`."
    return f"Next: read the policy in {site_file}, then run `fedgen-client check`."
