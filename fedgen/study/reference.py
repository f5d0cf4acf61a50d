"""The reference of the study file, written from the pydantic models: `python -m fedgen.study.reference`."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from fedgen.study.keys import Key, dotted, keys, section_of
from fedgen.study.problems import shown

_HEAD = """\
# The study file

<!-- Written by `make docs` from the models in fedgen/study/; do not edit by hand. -->

A study is one YAML file. Every key has a default except those marked **required**; `fedgen study show FILE`
prints all of them with the values that will be used; `fedgen study check FILE` validates without running.
An unknown key, a value of the wrong type or an impossible combination is an error (exit 2) that names the
line, the key, what was found and what is allowed.

* `--set training.rounds=3` replaces any key from the command line; the value is YAML, it may be repeated, and
  of two for the same key the later wins.
* Words that YAML reads as something else need quotes: `labels: ["No", "Yes"]`, `labels: ["0", "1"]`.
* A key given twice is an error, and so is an alias (`*name`).
* `null` means "not given".
"""

_WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "null",
}


def reference() -> str:
    """The whole page, Markdown."""
    return "\n".join([_HEAD, *_sections()])


def main() -> None:
    """Write the page to standard output."""
    sys.stdout.write(reference())


def type_in_words(kind: Any) -> str:
    """A type annotation as a person would say it.

    >>> type_in_words(tuple[int, ...]), type_in_words(float | None)
    ('list of whole numbers', 'number or null')
    """
    origin, arguments = get_origin(kind), get_args(kind)
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


def _sections() -> Iterator[str]:
    for key in keys():
        section = section_of(key.field)
        if section is None:
            continue
        yield f"\n## `{dotted(key.path)}`\n"
        yield " ".join((section.__doc__ or "").split())
        if not key.field.is_required() and key.field.get_default(call_default_factory=True) is None:
            needed = [name for name, inner in section.model_fields.items() if inner.is_required()]
            opened = (
                f"Given, it needs {' and '.join(f'`{name}`' for name in needed)}"
                if needed
                else f"`{key.path[-1]}: {{}}` takes the defaults"
            )
            yield f"\nAbsent unless given: {key.field.description}. {opened}."
        yield "\n| key | type | default | allowed | meaning |\n|---|---|---|---|---|"
        for inner in keys(section, key.path):
            if len(inner.path) == len(key.path) + 1 and section_of(inner.field) is None:
                yield _row(inner)
    yield ""


def _row(key: Key) -> str:
    field = key.field
    cells = (
        f"`{key.path[-1]}`",
        type_in_words(field.annotation),
        "**required**" if field.is_required() else f"`{_default(field)}`",
        allowed_range(field),
        field.description or "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "null"
    if isinstance(value, str):
        return value or '""'
    return shown(list(value) if isinstance(value, tuple) else value)


def _plural(kind: Any) -> str:
    words = type_in_words(kind)
    return words if kind in (str, bool) or get_origin(kind) is Literal else f"{words}s"


if __name__ == "__main__":
    main()
