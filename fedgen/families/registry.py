"""The families, by name: every folder of `fedgen.families` that has options and a family; no list anywhere.

What a family says of itself is read without torch; its class comes with torch and MONAI, and only when asked for.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import fedgen.families
from fedgen.errors import StudyError
from fedgen.families.spec import FamilySpec

if TYPE_CHECKING:
    from fedgen.families.contract import Family


@cache
def specs() -> Mapping[str, FamilySpec]:
    """What each family says of itself, in the order of their names.

    Raises:
        StudyError: a folder lacks a part, or two have one name.
    """
    found: dict[str, FamilySpec] = {}
    # One place at a time, since Python would take the first of two folders of one name and say nothing.
    for place in fedgen.families.__path__:
        for folder in pkgutil.iter_modules([place]):
            if not folder.ispkg or not _has(folder.name, "options", "family"):
                continue
            if folder.name in found:
                raise StudyError(
                    f"Two folders of families are named {folder.name}: rename the one in {place}."
                )
            found[folder.name] = _spec_in(folder.name)
    return MappingProxyType(dict(sorted(found.items())))


def family_class(name: str) -> type[Family]:
    """The family of that name; loads torch and MONAI.

    Raises:
        KeyError: there is none.
        StudyError: its `family.py` has not exactly one.
    """
    from fedgen.families.contract import Family

    module = import_module(f"{fedgen.families.__name__}.{specs()[name].name}.family")
    kinds = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Family) and kind.__module__ == module.__name__
    ]
    if len(kinds) != 1:
        raise StudyError(f"{module.__file__} must define one class of Family, but defines {len(kinds)}.")
    return kinds[0]


def _spec_in(name: str) -> FamilySpec:
    where = f"The folder {name} of fedgen.families"
    for part in ("options", "family"):
        if not _has(name, part):
            raise StudyError(f"{where} has no {part}.py: add it, or take the folder out.")
    spec: Any = getattr(import_module(f"{fedgen.families.__name__}.{name}.options"), "SPEC", None)
    if not isinstance(spec, FamilySpec):
        raise StudyError(f"{where} has no SPEC in its options.py: add one, a FamilySpec.")
    if spec.name != name:
        raise StudyError(f"{where} holds the family {spec.name}: give folder and family one name.")
    return spec


def _has(name: str, *parts: str) -> bool:
    return any(find_spec(f"{fedgen.families.__name__}.{name}.{part}") is not None for part in parts)


if TYPE_CHECKING:
    FamilyName = str
else:
    #: Name of a family that is installed, as the type of a key of a study or site file.
    FamilyName = Literal[tuple(specs())]
