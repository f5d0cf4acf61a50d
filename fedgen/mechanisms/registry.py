"""The mechanisms, by the name of their mode: every file of this folder that has one."""

from __future__ import annotations

import inspect
import pkgutil
from functools import cache
from importlib import import_module

import fedgen.mechanisms
from fedgen.errors import StudyError
from fedgen.mechanisms.contract import Mechanism


@cache
def _mechanisms() -> dict[str, type[Mechanism]]:
    found: dict[str, type[Mechanism]] = {}
    for file in pkgutil.iter_modules(fedgen.mechanisms.__path__, "fedgen.mechanisms."):
        module = import_module(file.name)
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ != module.__name__ or inspect.isabstract(kind):
                continue
            if issubclass(kind, Mechanism):
                found[kind.name] = kind
    return found


def mechanism_class(name: str) -> type[Mechanism]:
    """The mechanism of that mode.

    Raises:
        StudyError: there is none.
    """
    try:
        return _mechanisms()[name]
    except KeyError:
        known = ", ".join(sorted(_mechanisms()))
        raise StudyError(f"privacy.mode {name} is not one of {known}: choose one of them.") from None
