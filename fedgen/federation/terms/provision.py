"""Who takes part in a secure aggregation: identities in the sites' folders, their roster, and a site's keyholder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fedgen.recipe import Recipe
from fedgen.run.atomic import unwritable
from fedgen_privacy.secagg import Identity, Keyholder, Roster
from fedgen_privacy.secagg.identity_file import IDENTITY_FILE, stored_identity


def identity(folder: Path, site: str) -> Identity:
    """The site's identity: read from its folder, made there the first time, readable by its owner alone.

    Raises:
        PrivacyRefusedError: others can read the key.
        DataError: the file is damaged or cannot be written.
    """
    try:
        return stored_identity(folder, site)
    except OSError as error:
        raise unwritable(folder / IDENTITY_FILE, error) from error


def roster(folders: Mapping[str, Path]) -> Roster:
    """The roster of sites whose folders are at hand, as in a simulation."""
    return Roster({site: identity(folder, site).public_key for site, folder in folders.items()})


def keyholder(recipe: Recipe, roster: Roster, site: str, folder: Path) -> Keyholder:
    """The keyholder of one site."""
    parameters = recipe.parameters(len(roster))
    return Keyholder(identity(folder, site), roster, parameters, bytes.fromhex(recipe.sha256), folder)
