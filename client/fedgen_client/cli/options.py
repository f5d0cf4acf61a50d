"""Options and output that the site's commands share."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedgen_client.folder import SiteFolder

Folder = Annotated[
    Path,
    typer.Option("--folder", envvar="FEDGEN_SITE", help="The site's folder.", metavar="DIR"),
]
StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="Name, hash or its first 8 digits or more, or the path of a manifest file."
    ),
]

DEFAULT_FOLDER = Path("fedgen-site")
#: Where a paragraph's text begins.
INDENT = 13


def site(folder: Path) -> SiteFolder:
    """The site's folder, absolute: a process may change where it is."""
    from fedgen_client.folder import SiteFolder

    return SiteFolder(folder.absolute())


def somebody_is_there() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty()


def say(text: str, style: str | None = None) -> None:
    """A line on standard output, as it is."""
    from rich.console import Console

    Console().print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def say_paragraph(heading: str, text: str) -> None:
    """A heading with its text beside it, wrapped to the terminal."""
    from rich.console import Console

    wrapped = textwrap.wrap(text, max(40, Console().width - INDENT), break_long_words=False)
    for number, line in enumerate(wrapped):
        say(f"{heading if number == 0 else '':<{INDENT}}{line}")
