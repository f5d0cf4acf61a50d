"""The measures, found by walking the folders of this wing: adding one is adding its file."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from fedgen.evidence.measure import Measure
from fedgen.evidence.translating import TranslationMeasure

#: Folder of the audits, and those of the evaluation.
AUDITS = ("audit",)
METRICS = ("metrics", "downstream")
TRANSLATION = ("translation",)


def measures(*folders: str) -> list[type[Measure]]:
    """Every measure of these folders, in the order of the report.

    Raises:
        ValueError: two measures have one id.
    """
    found: list[type[Measure]] = _found(folders, Measure)
    return found


def translation_measures() -> list[type[TranslationMeasure]]:
    """Every measure of a translation, in the order of the report.

    Raises:
        ValueError: two measures have one id.
    """
    found: list[type[TranslationMeasure]] = _found(TRANSLATION, TranslationMeasure)
    return found


def _found(folders: Sequence[str], kind: type[Any]) -> list[Any]:
    found: list[Any] = []
    for folder in folders:
        package = import_module(f"fedgen.evidence.{folder}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not module.ispkg:
                found += _of(module.name, kind)
    found.sort(key=lambda measure: (measure.order, measure.id))
    ids = [measure.id for measure in found]
    if len(set(ids)) < len(ids):
        raise ValueError(f"two measures have one id: {', '.join(ids)}")
    return found


def _of(module: str, kind: type[Any]) -> list[Any]:
    classes = inspect.getmembers(import_module(module), inspect.isclass)
    return [each for _, each in classes if issubclass(each, kind) and each.__module__ == module]
