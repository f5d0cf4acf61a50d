"""What the modules of a folder offer, found by walking it: to add a kind is to add a file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import TypeVar

_Kind = TypeVar("_Kind")


def offered(package: ModuleType, name: str, kind: type[_Kind]) -> Iterator[_Kind]:
    """The value of `name` in every module of `package` that has one, in the order of the modules' names.

    Raises:
        TypeError: it is something else than a `kind`, which is a defect.
    """
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        value = getattr(module, name, None)
        if value is None:
            continue
        if not isinstance(value, kind):
            raise TypeError(f"{module.__name__}.{name} is no {kind.__name__}")
        yield value
