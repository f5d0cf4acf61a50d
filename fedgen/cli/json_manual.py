"""The reference of what each command prints with `--json`, written from the models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from fedgen.cli.as_json import commands_of, forms_of
from fedgen.schema.manual import type_in_words
from fedgen.schema.section import Section

HEAD = """\
# What programs read: `--json`

<!-- Written by `make docs` from the models beside each command; do not edit by hand. -->

Every command that prints a table takes `--json` and then prints one JSON object on standard output, and nothing beside
it; notes and errors are on standard error, and the [exit code](exit-codes.md) is the same. Keys stay: one that is
renamed or removed is in the changelog, and more may be added, so ignore those that you do not know. `null` is "not
known" or "no limit". Times are ISO 8601 in UTC. A log (`log --json`) is one object a line, as its file has it.
"""


def part(program: str, places: Mapping[str, str]) -> str:
    """The commands of one program that have said what they print, Markdown.

    Args:
        program: as it is typed.
        places: of its commands, as `fedgen.cli.deferred.deferring`.
    """
    return "".join(
        _section_of(" ".join(filter(None, (program, words, option))), model)
        for words, command in commands_of(places)
        for option, model in sorted(forms_of(command).items())
    )


def _section_of(typed: str, model: type[Section]) -> str:
    rows = "".join(f"{line}\n" for line in _rows(model))
    return f"\n## `{typed} --json`\n\n{_first(model)}\n\n| key | type | meaning |\n|---|---|---|\n{rows}"


def _first(model: type[Section]) -> str:
    about = re.split(r"\n\s*Attributes:", model.__doc__ or "")[0]
    return " ".join(about.split())


def _rows(model: type[Section], before: str = "") -> Iterator[str]:
    said = _attributes(model)
    for name, field in model.model_fields.items():
        inner, many = _section(field.annotation)
        meaning = (field.description or said.get(name, "")).replace("|", "\\|")
        kind = _kind(field.annotation) if inner is None else "list of objects" if many else "object"
        yield f"| `{before}{name}` | {kind} | {meaning} |"
        if inner is not None:
            yield from _rows(inner, f"{before}{name}{'[]' if many else ''}.")


def _kind(annotation: Any) -> str:
    try:
        return type_in_words(annotation)
    except KeyError:
        # An enumeration, which JSON has as its text.
        return "text"


def _attributes(model: type[Section]) -> dict[str, str]:
    """What the docstring says of each attribute, those of its bases too."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        _, _, text = (kind.__doc__ or "").partition("Attributes:\n")
        for names, meaning in re.findall(r"^ {8}([\w, ]+): ((?:.|\n(?! {8}\w))*)", text, re.MULTILINE):
            found |= {name.strip(): " ".join(meaning.split()) for name in names.split(",")}
    return found


def _section(kind: Any) -> tuple[type[Section] | None, bool]:
    """The model within an annotation, and whether there is a list of them."""
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind, False
    for argument in get_args(kind):
        found, _ = _section(argument)
        if found is not None:
            return found, get_origin(kind) in (tuple, list)
    return None, False
