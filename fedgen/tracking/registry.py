"""The trackers, by name: every file of `fedgen.tracking.trackers`; no list anywhere."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import NamedTuple

from fedgen.errors import StudyError
from fedgen.tracking import trackers
from fedgen.tracking.contract import Tracker


class TrackerChoice(NamedTuple):
    """What was asked for.

    Attributes:
        name: of the tracker.
        where: what it makes of it, such as a URI; None for its own default.
    """

    name: str
    where: str | None


def tracker_names() -> tuple[str, ...]:
    """Names of the files, sorted."""
    return tuple(sorted(each.name for each in pkgutil.iter_modules(trackers.__path__)))


def tracker_choice(text: str) -> TrackerChoice:
    """What `--track NAME` or `--track NAME:WHERE` says.

    >>> tracker_choice("mlflow:http://localhost:5000")
    TrackerChoice(name='mlflow', where='http://localhost:5000')

    Raises:
        StudyError: there is no such tracker, or what it needs is not installed.
    """
    name, _, where = text.partition(":")
    if name not in tracker_names():
        raise StudyError(
            f"There is no tracker {name!r}: choose one of {', '.join(tracker_names())}, or NAME:WHERE."
        )
    try:
        tracker_class(name)
    except ImportError as error:
        raise StudyError(
            f"The tracker {name} needs the package {error.name or name}: pip install 'fedgen[{name}]'."
        ) from None
    return TrackerChoice(name, where or None)


def tracker_class(name: str) -> type[Tracker]:
    """The tracker in the file of that name.

    Raises:
        ImportError: its library is not installed.
        ValueError: the file has not exactly one tracker.
    """
    module = import_module(f"{trackers.__name__}.{name}")
    found = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Tracker) and kind.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ValueError(f"{module.__file__} must define one Tracker")
    return found[0]
