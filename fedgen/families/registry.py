"""The families, by name: every folder beside this file that has a `family.py`."""

from __future__ import annotations

import inspect
import pkgutil
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import fedgen.families
from fedgen.families.contract import Capability, Family


@cache
def _families() -> dict[str, type[Family]]:
    """Name to class; importing them loads torch and MONAI."""
    found: dict[str, type[Family]] = {}
    for folder in pkgutil.iter_modules(fedgen.families.__path__, "fedgen.families."):
        if not folder.ispkg or find_spec(f"{folder.name}.family") is None:
            continue
        module = import_module(f"{folder.name}.family")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, Family) and kind.__module__ == module.__name__:
                found[kind.capability.name] = kind
    return found


def capabilities() -> list[Capability]:
    """Every family's capability, by name."""
    return [kind.capability for _, kind in sorted(_families().items())]


def family_class(name: str) -> type[Family]:
    """The family of that name.

    Raises:
        KeyError: there is none.
    """
    return _families()[name]
