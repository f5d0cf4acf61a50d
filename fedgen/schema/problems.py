"""pydantic's errors -> sentences that name the place, the key, what was found and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fedgen.schema.document import Document, Dumper
from fedgen.schema.keys import Path, dotted, keys, nearest, section_of, siblings_of
from fedgen.schema.section import Section

#: What is allowed, by pydantic's error type; filled with the error's context.
_MUST_BE = {
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be the path of a file or folder",
    "tuple_type": "must be a list in brackets",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a section with keys beneath it",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
_WORD = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)*")


def sentences(error: ValidationError, document: Document, root: type[Section]) -> list[str]:
    """One sentence for each thing that is wrong with the values of `document`."""
    details = error.errors(include_url=False)
    broken = {detail["loc"][:-1] for detail in details}
    return [
        _sentence(detail, document, root)
        for detail in details
        # A list with a wrong entry is also reported as too short; the entry says it better.
        if not (detail["type"] == "too_short" and detail["loc"] in broken)
    ]


def unknown_key(path: Sequence[str], root: type[Section]) -> str:
    """What to say of a key that does not exist."""
    close = nearest(path, root)
    section, allowed = siblings_of(path, root)
    hint = f", did you mean {close}" if close else ""
    where = f"under {section}" if section else "at the top"
    return f"unknown key {dotted(tuple(path))}{hint} (allowed {where}: {', '.join(allowed)})."


def shown(value: object) -> str:
    """A found value as YAML, short enough for a sentence.

    >>> shown(True), shown(None), shown("16")
    ('true', 'empty', "'16'")
    """
    if value is None:
        return "empty"
    if isinstance(value, str):
        text = repr(value)
    else:
        text = yaml.dump(value, Dumper=Dumper, default_flow_style=True, width=1_000_000)
        text = text.removesuffix("\n").removesuffix("\n...")
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sentence(detail: ErrorDetails, document: Document, root: type[Section]) -> str:
    path, kind, found = detail["loc"], detail["type"], detail["input"]
    where = origin(path, document)
    if kind == "extra_forbidden":
        return f"{where}: {unknown_key([str(part) for part in path], root)}"
    if kind == "missing":
        return f"{where}: {_missing(path, found, root)}"
    if kind == "value_error":
        message = str(detail["ctx"]["error"])
        return f"{_mentioned(message, path, document, root)}: {f'{dotted(path)}: ' if path else ''}{message}."
    allowed = _MUST_BE.get(kind)
    context: Mapping[str, Any] = detail.get("ctx", {})
    must_be = allowed.format(**context) if allowed else detail["msg"]
    return f"{where}: {dotted(path)} {must_be}, but is {shown(found)}{_hint(kind, found)}."


def _missing(path: Path, found: object, root: type[Section]) -> str:
    if isinstance(path[-1], int):
        return f"{dotted(path[:-1])} needs at least {path[-1] + 1} entries, but is {shown(found)}."
    needed = [
        dotted(key.path)
        for key in keys(root, along=path)
        if key.path[: len(path)] == path and key.field.is_required() and section_of(key.field) is None
    ]
    return f"{' and '.join(needed) or dotted(path)} is missing and has no default."


def _hint(kind: str, found: object) -> str:
    if kind == "string_type" and isinstance(found, bool):
        return " (YAML reads bare yes, no, on and off so: put quotes around the word)"
    if kind == "string_type" and found is not None and not isinstance(found, list | dict):
        return " (put quotes around it)"
    if kind in ("int_type", "float_type", "bool_type") and isinstance(found, str):
        return ", which is text"
    if kind == "model_type" and found is None:
        return " (remove the line, or write keys beneath it)"
    return ""


def origin(path: Path, document: Document) -> str:
    """Where the value was written: its own line or `--set`, else its section's, else the file."""
    for end in range(len(path), 0, -1):
        if path[:end] in document.origins:
            return document.origins[path[:end]]
    return document.source


def _mentioned(message: str, section: Path, document: Document, root: type[Section]) -> str:
    """Where the keys stand that a section's own check speaks of; else where the section stands."""
    values = {key.path for key in keys(root, along=section) if section_of(key.field) is None}
    spoken_of = [(*section, *word.split(".")) for word in _WORD.findall(message)]
    places = dict.fromkeys(
        document.origins[path] for path in spoken_of if path in values and path in document.origins
    )
    return " and ".join(places) or origin(section, document)
