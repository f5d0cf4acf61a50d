"""The extractors, by name: every file of `fedgen.extractors` that defines one; no list anywhere.

Their names are read without torch, for the study file; a class comes with torch, and only when asked for.
"""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

import fedgen.extractors

if TYPE_CHECKING:
    from fedgen.extractors.contract import Extractor, Given

#: Files of the folder that are no extractor.
_OTHERS = ("contract", "network_weights", "registry")


def extractor_names() -> tuple[str, ...]:
    """Names of the files, sorted."""
    files = pkgutil.iter_modules(fedgen.extractors.__path__)
    return tuple(sorted(each.name for each in files if not each.ispkg and each.name not in _OTHERS))


def extractor_class(name: str) -> type[Extractor]:
    """The extractor in the file of that name.

    Raises:
        KeyError: there is no such file; the study's schema refuses such a name before this.
        ValueError: the file has not exactly one extractor of its own name.
    """
    from fedgen.extractors.contract import Extractor

    if name not in extractor_names():
        raise KeyError(name)
    module = import_module(f"{fedgen.extractors.__name__}.{name}")
    kinds: list[Any] = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Extractor) and kind.__module__ == module.__name__
    ]
    if [kind.name for kind in kinds] != [name]:
        raise ValueError(f"{module.__file__} must define one Extractor, named {name}")
    found: type[Extractor] = kinds[0]
    return found


def build_extractor(name: str, given: Given | int) -> Extractor:
    """The extractor `name`, for what is given, or for images of so many channels.

    Raises:
        KeyError, ValueError: as `extractor_class`.
        DataError: what it is made of is not at hand.
    """
    from fedgen.extractors.contract import Given

    return extractor_class(name).of(Given(given) if isinstance(given, int) else given)


def _known(name: str) -> str:
    if name not in extractor_names():
        raise ValueError(f"{name} is no extractor that is installed: {', '.join(extractor_names())}")
    return name


#: Name of an extractor that is installed, as the type of a key of a study.
ExtractorName = Annotated[str, AfterValidator(_known)]
