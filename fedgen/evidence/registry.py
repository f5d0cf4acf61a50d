"""The measures, found by walking the folders of this wing: adding one is adding its file."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

from fedgen.evidence.measure import Measure

#: Folder of the audits, and those of the evaluation.
AUDITS = ("audit",)
METRICS = ("metrics", "downstream")


def measures(*folders: str) -> list[type[Measure]]:
    """Every measure of these folders, in the order of the report.

    Raises:
        ValueError: two measures have one id.
    """
    found: list[type[Measure]] = []
    for folder in folders:
        package = import_module(f"fedgen.evidence.{folder}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not module.ispkg:
                found += _of(module.name)
    found.sort(key=lambda kind: (kind.order, kind.id))
    ids = [kind.id for kind in found]
    if len(set(ids)) < len(ids):
        raise ValueError(f"two measures have one id: {', '.join(ids)}")
    return found


def _of(module: str) -> list[type[Measure]]:
    classes = inspect.getmembers(import_module(module), inspect.isclass)
    return [kind for _, kind in classes if issubclass(kind, Measure) and kind.__module__ == module]
