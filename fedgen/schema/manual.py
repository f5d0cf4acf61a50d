"""Tables of a file's reference page, written from its pydantic models."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from fedgen.schema.problems import shown

HEAD = "\n| key | type | default | allowed | meaning |\n|---|---|---|---|---|"

_WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "null",
    Path: "path of a folder",
}


def row(name: str, field: FieldInfo) -> str:
    """One key as a line of a table that begins with `HEAD`."""
    cells = (
        f"`{name}`",
        type_in_words(field.annotation),
        "**required**" if field.is_required() else f"`{_default(field)}`",
        allowed_range(field),
        field.description or "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def type_in_words(kind: Any) -> str:
    """A type annotation as a person would say it.

    >>> type_in_words(tuple[int, ...]), type_in_words(float | None)
    ('list of whole numbers', 'number or null')
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return type_in_words(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(type_in_words(argument) for argument in arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"list of {_plural(arguments[0])}"
    if origin is tuple:
        return f"list of {len(arguments)} {_plural(arguments[0])}"
    if origin is dict:
        return f"mapping of names to {_plural(arguments[1])}"
    return _WORDS[kind]


def allowed_range(field: FieldInfo) -> str:
    """The limits of a value, or an empty text where there are none."""
    limits = []
    for item in field.metadata:
        match item:
            case annotated_types.Ge(ge=low):
                limits.append(f"≥ {low}")
            case annotated_types.Gt(gt=low):
                limits.append(f"> {low}")
            case annotated_types.Le(le=high):
                limits.append(f"≤ {high}")
            case annotated_types.Lt(lt=high):
                limits.append(f"< {high}")
            case annotated_types.MinLen(min_length=n):
                limits.append(f"at least {n} {'entry' if n == 1 else 'entries'}")
            case annotated_types.MaxLen(max_length=n):
                limits.append(f"at most {n} characters")
            case _:
                pattern = getattr(item, "pattern", None)
                if pattern is not None:
                    limits.append(f"matches `{pattern}`")
    return ", ".join(limits)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "null"
    if isinstance(value, str):
        return value or '""'
    return shown(list(value) if isinstance(value, tuple) else value)


def _plural(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return _plural(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_plural(argument) for argument in get_args(kind))
    words = type_in_words(kind)
    for one, many in (("list", "lists"), ("mapping", "mappings")):
        if words.startswith(f"{one} of "):
            return many + words.removeprefix(one)
    return words if kind in (str, bool, type(None)) or get_origin(kind) is Literal else f"{words}s"
