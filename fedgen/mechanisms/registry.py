"""The mechanisms, by the name of their mode: every file of `fedgen.mechanisms.modes`; no list anywhere."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module

from fedgen.errors import StudyError
from fedgen.mechanisms.contract import Mechanism
from fedgen.study.modes import FOLDER, modes


@cache
def mechanism_class(name: str) -> type[Mechanism]:
    """The mechanism of that mode.

    Raises:
        StudyError: there is none, or its file has not exactly one, of its own name.
    """
    if name not in modes():
        raise StudyError(f"privacy.mode {name} is not one of {', '.join(modes())}: choose one of them.")
    module = import_module(f"{FOLDER}.{name}")
    kinds: list[type[Mechanism]] = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and issubclass(kind, Mechanism)
    ]
    if [kind.name for kind in kinds] != [name]:
        raise StudyError(f"{module.__file__} must define one Mechanism, named {name}.")
    return kinds[0]
