"""The list of families, by name."""

from __future__ import annotations

from collections.abc import Callable

from fedgen.models.family import Capability, Family
from fedgen.study.study import Study

_BUILDERS: dict[str, tuple[Capability, Callable[[Study], Family]]] = {}


def register(build: Callable[[Study], Family], capability: Capability) -> None:
    """Make a family available under its capability's name."""
    if capability.name in _BUILDERS:
        raise ValueError(f"two families are named {capability.name}")
    _BUILDERS[capability.name] = (capability, build)


def capabilities() -> list[Capability]:
    """Every registered family's capability, by name."""
    return [_BUILDERS[name][0] for name in sorted(_BUILDERS)]


def build_family(study: Study) -> Family:
    """The family a study asks for, with its options and image shape."""
    return _BUILDERS[study.model.family][1](study)
