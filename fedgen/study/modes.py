"""The privacy modes by name: which a study may ask for, and which of them promise anything."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Literal

#: Each file in it is a mode. Only the names are read here: what is in the files stands above this room.
FOLDER = "fedgen.mechanisms.modes"
#: The one mode that promises nothing.
WITHOUT = "none"


@cache
def modes() -> tuple[str, ...]:
    """Every mode that is installed, in the order of their names."""
    return tuple(sorted(file.name for file in pkgutil.iter_modules(import_module(FOLDER).__path__)))


def is_private(mode: str) -> bool:
    """Whether a mode promises anything to a patient; one that is not installed does not."""
    return mode != WITHOUT and mode in modes()


if TYPE_CHECKING:
    Mode = str
else:
    #: Name of a mode that is installed, as the type of a key of a study or site file.
    Mode = Literal[modes()]

#: What a hospital allows unless its site file says otherwise; a mode installed later is not among them.
ALLOWED: tuple[Mode, ...] = ("local", "distributed")
