"""One key of a study replaced: by `--set training.rounds=3`, or by `{"training.rounds": 3}` from Python."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedgen.errors import StudyError
from fedgen.schema.document import Document, plain, read_value
from fedgen.schema.keys import Path, is_known
from fedgen.schema.problems import unknown_key
from fedgen.schema.section import Section

#: `KEY=VALUE` as people type it, or values by their keys as a program has them.
Overrides = Sequence[str] | Mapping[str, Any]

#: How the origin of a value begins that an override wrote: typed, and given by a program.
ORIGIN, GIVEN = "--set ", "override "


def is_override(origin: str) -> bool:
    """Whether that is the origin of a value that an override wrote."""
    return origin.startswith((ORIGIN, GIVEN))


def apply_overrides(document: Document, overrides: Overrides, root: type[Section]) -> Document:
    """The document with each `KEY=VALUE` written over it, in order; values are YAML.

    A value may be a whole list or section (`data.image_size=[32, 32]`). Errors become problems of the
    document, so that they are listed together with those of the file.
    """
    values = copy.deepcopy(document.values)
    origins = dict(document.origins)
    problems = list(document.problems)
    for origin, found in _each(overrides, root):
        if isinstance(found, StudyError):
            problems.append(f"{origin}: {found}")
            continue
        path, value = found
        _write(values, path, value)
        for place in [place for place in origins if place[: len(path)] == path]:
            del origins[place]
        origins[path] = origin
    return Document(document.source, values, origins, tuple(problems))


def _each(
    overrides: Overrides, root: type[Section]
) -> Iterator[tuple[str, tuple[tuple[str, ...], Any] | StudyError]]:
    """Origin of each, with its key and value, or with what is wrong with it."""
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            try:
                yield f"{GIVEN}{key}", (_known(str(key), root), plain(value))
            except StudyError as error:
                yield f"{GIVEN}{key}", error
        return
    for override in overrides:
        try:
            yield f"{ORIGIN}{override}", parse_override(override, root)
        except StudyError as error:
            yield f"{ORIGIN}{override}", error


def _known(key: str, root: type[Section]) -> tuple[str, ...]:
    path = tuple(part.strip() for part in key.split("."))
    if not is_known(path, root):
        raise StudyError(unknown_key(path, root))
    return path


def parse_override(override: str, root: type[Section]) -> tuple[tuple[str, ...], Any]:
    """The key and the value of one `KEY=VALUE`.

    Raises:
        StudyError: no `=`, an unknown key, or a value that is not YAML.
    """
    key, sign, text = override.partition("=")
    if not sign or not all(part.strip() for part in key.split(".")):
        raise StudyError("expected KEY=VALUE, such as training.rounds=3.")
    path = _known(key, root)
    try:
        return path, read_value(text)
    except StudyError as error:
        raise StudyError(f"the value {text!r} {error}.") from None


def _write(values: dict[str, Any], path: Path, value: Any) -> None:
    """Set `value` at `path`; an absent or empty section on the way is opened.

    A section the file wrote as a scalar is left as it is: validation names it at its own line.
    """
    section = values
    for part in path[:-1]:
        inner = section.get(str(part))
        if inner is None:
            inner = section[str(part)] = {}
        if not isinstance(inner, dict):
            return
        section = inner
    section[str(path[-1])] = value
