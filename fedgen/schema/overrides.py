"""`--set training.rounds=3`: one key of a study replaced from the command line."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from fedgen.errors import StudyError
from fedgen.schema.document import Document, read_value
from fedgen.schema.keys import Path, is_known
from fedgen.schema.problems import unknown_key
from fedgen.schema.section import Section

#: How the origin of a value begins that an override wrote.
ORIGIN = "--set "


def apply_overrides(document: Document, overrides: Sequence[str], root: type[Section]) -> Document:
    """The document with each `KEY=VALUE` written over it, in order; values are YAML.

    A value may be a whole list or section (`data.image_size=[32, 32]`). Errors become problems of the
    document, so that they are listed together with those of the file.
    """
    values = copy.deepcopy(document.values)
    origins = dict(document.origins)
    problems = list(document.problems)
    for override in overrides:
        origin = f"{ORIGIN}{override}"
        try:
            path, value = parse_override(override, root)
        except StudyError as error:
            problems.append(f"{origin}: {error}")
            continue
        _write(values, path, value)
        for place in [place for place in origins if place[: len(path)] == path]:
            del origins[place]
        origins[path] = origin
    return Document(document.source, values, origins, tuple(problems))


def parse_override(override: str, root: type[Section]) -> tuple[tuple[str, ...], Any]:
    """The key and the value of one `KEY=VALUE`.

    Raises:
        StudyError: no `=`, an unknown key, or a value that is not YAML.
    """
    key, sign, text = override.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not sign or not all(path):
        raise StudyError("expected KEY=VALUE, such as training.rounds=3.")
    if not is_known(path, root):
        raise StudyError(unknown_key(path, root))
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
