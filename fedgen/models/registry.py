"""The list of families, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from fedgen.models.adapted import AdaptedFamily
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


def build_family(study: Study, start: Mapping[str, Tensor] | None = None) -> Family:
    """The family a study asks for, with its options, image shape and adapters.

    Args:
        study: what is asked for.
        start: its pretrained weights by `network/parameter`; a study with adapters makes no networks without them.
    """
    plain, adapters = plain_family(study), study.model.adapters
    return plain if adapters is None else AdaptedFamily(plain, adapters, start)


def blank_family(study: Study) -> Family:
    """As `build_family`, for networks that are only counted or timed: what is frozen may have any weights."""
    plain, adapters = plain_family(study), study.model.adapters
    return plain if adapters is None else AdaptedFamily(plain, adapters, None, blank=True)


def plain_family(study: Study) -> Family:
    """The family without adapters: what a file of pretrained weights has the parameters of."""
    return _BUILDERS[study.model.family][1](study)
