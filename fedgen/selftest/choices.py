"""A family's small options, and others that differ from them in one choice: each may be another loss or network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section


def variants(spec: FamilySpec) -> dict[str, Section]:
    """By what differs, such as `loss=wasserstein`; without those that the section refuses beside the others.

    Every choice between words, every switch, and the options that the family names in `FamilySpec.variants`.
    """
    found: dict[str, Section] = {}
    for name, value in _choices(spec.small):
        try:
            found[f"{name}={value}"] = type(spec.small).model_validate(
                {**spec.small.model_dump(), name: value}
            )
        except ValidationError:
            continue
    return {**found, **spec.variants}


def _choices(small: Section) -> Iterator[tuple[str, Any]]:
    for name, field in type(small).model_fields.items():
        now, kind = getattr(small, name), field.annotation
        kinds = (kind, *get_args(kind))
        words = [word for each in kinds if get_origin(each) is Literal for word in get_args(each)]
        others = words or ([not now] if bool in kinds and isinstance(now, bool) else [])
        yield from ((name, other) for other in others if other != now)
