"""What is known of single patients or images, by number: for the eyes of their own site, never in a row or a message.

A file of the folder `site-only/`: of a site's own folder of the study, or of the run of a simulation, where nobody is
elsewhere. Nothing sends, signs or packs that folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fedgen.run.atomic import write_json
from fedgen.run.row import Name, Word
from fedgen.schema.section import Section

FOLDER = "site-only"
#: Entries of a file: nobody reads more.
MOST = 10_000


class SiteOnly(Section):
    """A list that stays.

    Attributes:
        name: of the file, without its ending.
        about: what is listed, and what follows from being in it.
        entries: one a patient or image, by field; numbers of patients are those of the site's data, which are ranks
            of the identities in alphabetical order.
    """

    name: Word
    about: str
    entries: Annotated[tuple[dict[Name, str | int | float | None], ...], Field(max_length=MOST)] = ()


#: Told each list that a measure makes.
Keep = Callable[[SiteOnly], object]


def write_site_only(folder: Path, found: SiteOnly) -> Path:
    """Write a list below `folder`, in place of an older one of its name; only its owner can read it.

    Raises:
        ValueError: a number in it is NaN or infinite; nothing is written.
        DataError: the disk is full or the folder is not writable.
    """
    path = folder / FOLDER / f"{found.name}.json"
    write_json(path, found.model_dump(mode="json"))
    return path


def forget(found: SiteOnly) -> None:
    """Keeps nothing."""
