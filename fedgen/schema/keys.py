"""The keys a study file or another form may hold, read off the pydantic models, and the nearest to a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from pydantic.fields import FieldInfo

from fedgen.schema.section import Section

#: Where a value stands: names of keys, and positions within lists.
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Key:
    """One key of a file.

    Attributes:
        path: names of the sections above it and its own.
        field: pydantic's description of it.
    """

    path: tuple[str, ...]
    field: FieldInfo


def dotted(path: Path) -> str:
    """The path as a person writes it.

    >>> dotted(("model", "vae", "channels", 0))
    'model.vae.channels[0]'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section a key opens, also where the section is optional; None for a plain value."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


def keys(
    section: type[Section], above: tuple[str, ...] = (), along: Sequence[str | int] = ()
) -> Iterator[Key]:
    """Every key beneath `section`, sections before what they hold.

    Names within a mapping of sections, such as the cohorts of a site file, are the user's own: of those, only the
    one that the path `along` goes through has keys.
    """
    for name, field in section.model_fields.items():
        path = (*above, name)
        yield Key(path, field)
        inner = section_of(field)
        if inner is None:
            continue
        if _is_mapping(field):
            if tuple(along[: len(path)]) != path or len(along) == len(path):
                continue
            path = (*path, str(along[len(path)]))
            yield Key(path, field)
        yield from keys(inner, path, along)


def is_known(path: Sequence[str], root: type[Section]) -> bool:
    """Whether a file has this key; a free mapping such as `synthesis.balance` takes any one more."""
    return any(
        key.path == tuple(path) or (key.path == tuple(path[:-1]) and _is_mapping(key.field))
        for key in keys(root)
    )


def nearest(path: Sequence[str], root: type[Section]) -> str | None:
    """The key most likely meant by an unknown path, dotted, or None where nothing is close.

    A misspelt part is mended first, then the last name is looked for in other sections.
    """
    known = [key.path for key in keys(root, along=path)]
    depth = 0
    while depth < len(path) and tuple(path[: depth + 1]) in known:
        depth += 1
    above = tuple(path[:depth])
    siblings = [other[depth] for other in known if len(other) == depth + 1 and other[:depth] == above]
    if not siblings:
        return dotted(above) or None
    close = difflib.get_close_matches(path[depth], siblings, n=1)
    if close:
        mended = (*above, close[0], *path[depth + 1 :])
        return dotted(mended if mended in known else mended[: depth + 1])
    elsewhere = [other for other in known if other[-1] == path[-1]]
    if elsewhere:
        return dotted(elsewhere[0])
    whole = difflib.get_close_matches(dotted(tuple(path)), [dotted(other) for other in known], n=1)
    return whole[0] if whole else None


def siblings_of(path: Sequence[str], root: type[Section]) -> tuple[str, tuple[str, ...]]:
    """The deepest known section above an unknown path (dotted, or "" for the file) and the keys it allows."""
    section = root
    depth = 0
    while depth < len(path):
        field = section.model_fields.get(path[depth])
        inner = section_of(field) if field is not None else None
        if field is None or inner is None:
            break
        section = inner
        depth += 1 + _is_mapping(field)
    return dotted(tuple(path[:depth])), tuple(section.model_fields)


def _is_mapping(field: FieldInfo) -> bool:
    return any(
        getattr(kind, "__origin__", None) is dict for kind in (field.annotation, *get_args(field.annotation))
    )
