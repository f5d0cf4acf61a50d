"""YAML text -> plain values, and the line each key stands on.

YAML 1.1 as PyYAML reads it, with two changes: `1e-5` is a number (YAML 1.2), and a repeated key is an
error instead of a silent last-one-wins.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from fedgen.errors import StudyError
from fedgen.schema.form import Form
from fedgen.schema.keys import Path, dotted

_FLOAT = "tag:yaml.org,2002:float"
_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_DEEPEST = 16
_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader that also reads `1e-5` as a number."""


class Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper: quotes what `Loader` would read as a number, writes lists on one line."""


Loader.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+0123456789"))
Dumper.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+0123456789"))
Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def _text(dumper: yaml.SafeDumper, value: str) -> ScalarNode:
    # PyYAML writes these three line breaks bare and reads them back as spaces: double quotes escape them.
    style = '"' if re.search("[\x85\u2028\u2029]", value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


Dumper.add_representer(str, _text)


@dataclass(frozen=True)
class Document:
    """What a study file, or one of another form, says.

    Attributes:
        source: the file, as the user named it.
        values: nested mappings, lists and scalars.
        origins: where each key was written, such as "demo.yaml, line 3".
        problems: sentences about what cannot be read, beside what could.
    """

    source: str
    values: dict[str, Any]
    origins: dict[Path, str]
    problems: tuple[str, ...] = ()


def read_document(text: str, source: str, form: Form[Any]) -> Document:
    """Parse one YAML mapping.

    Raises:
        StudyError: not YAML, empty, or not a mapping; the sentence names the line.
    """
    try:
        node = _composed(text, source)
    except yaml.MarkedYAMLError as error:
        raise StudyError(_not_yaml(error, source)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise StudyError(
            f"{source}, line {line}: the character {_code(error.character)} is not allowed."
        ) from None
    if node is None:
        raise StudyError(f"{source} is empty: it needs at least {form.least}.")
    if not isinstance(node, MappingNode):
        raise StudyError(
            f"{source}, line {node.start_mark.line + 1}: expected sections such as {form.sections}, "
            f"found {'a list' if isinstance(node, SequenceNode) else 'a single value'}."
        )
    reader = _Reader(source)
    values = reader.value(node, ())
    return Document(source, values, reader.origins, tuple(reader.problems))


def given_document(values: Mapping[str, Any], source: str) -> Document:
    """A mapping that a program made, as if it had been read from a file; `source` names it in errors.

    Raises:
        StudyError: it holds what no file could say.
    """
    return Document(source, plain(values), {})


def plain(value: Any) -> Any:
    """A value as a file would give it: tuples are lists, paths are text, NumPy's numbers are numbers.

    Raises:
        StudyError: there is no such form of it.
    """

    def other(each: Any) -> Any:
        if isinstance(each, os.PathLike):
            return os.fspath(each)
        if hasattr(each, "item"):
            return each.item()
        raise StudyError(f"found a {type(each).__name__}, which no study file can hold.")

    try:
        return json.loads(json.dumps(value, default=other))
    except (TypeError, ValueError) as error:
        raise StudyError(f"the study cannot be written down ({error}): give plain values.") from None


def read_value(text: str) -> Any:
    """One YAML value, as in the right side of `--set training.rounds=3`.

    Raises:
        StudyError: not YAML.
    """
    reader = _Reader("value")
    try:
        node = _composed(text, "value")
    except (yaml.YAMLError, StudyError):
        raise StudyError("is not valid YAML") from None
    value = None if node is None else reader.value(node, ())
    if reader.problems:
        raise StudyError("is not a valid value")
    return value


class _Guarded(Loader):
    """Refuses aliases, which can grow without end, and nesting deeper than any study needs, as they are read."""

    def __init__(self, text: str, source: str) -> None:
        super().__init__(text)
        self._source, self._depth = source, 0

    def get_event(self) -> Any:
        event = super().get_event()
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        where = f"{self._source}, line {line}"
        if isinstance(event, yaml.AliasEvent):
            raise StudyError(f"{where}: aliases (*{event.anchor}) are not allowed, write it out.")
        opened, closed = (
            isinstance(event, kind) for kind in (yaml.CollectionStartEvent, yaml.CollectionEndEvent)
        )
        self._depth += opened - closed
        if self._depth > _DEEPEST:
            raise StudyError(f"{where}: lists or mappings are nested more than {_DEEPEST} deep.")
        return event


def _composed(text: str, source: str) -> Node | None:
    """The nodes of a text, as `yaml.compose` gives them.

    Raises:
        StudyError: an alias, or nesting that is too deep.
        yaml.YAMLError: not YAML.
    """
    loader = _Guarded(text, source)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class _Reader:
    """Walks YAML nodes, noting where each key stands and what cannot be read."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.loader = Loader("")
        self.origins: dict[Path, str] = {}
        self.problems: list[str] = []

    def value(self, node: Node, path: Path) -> Any:
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if node.tag not in _COLLECTIONS:
            self.problems.append(f"{self._line(node)}: {dotted(path)} has the tag {node.tag}, remove it.")
        if isinstance(node, SequenceNode):
            return [self._placed(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _placed(self, node: Node, path: Path) -> Any:
        self.origins[path] = self._line(node)
        return self.value(node, path)

    def _mapping(self, node: Node, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = self._line(key_node)
            name = self.value(key_node, path)
            if not isinstance(name, str):
                where = f" in {dotted(path)}" if path else ""
                self.problems.append(f"{line}: the key {name}{where} must be text, put quotes around it.")
            elif name in values:
                first = self.origins[(*path, name)].rpartition("line ")[2]
                self.problems.append(
                    f"{line}: {dotted((*path, name))} is given twice (first on line {first}), remove one."
                )
            else:
                self.origins[(*path, name)] = line
                values[name] = self.value(value_node, (*path, name))
        return values

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        try:
            return self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self.problems.append(
                f"{self._line(node)}: {dotted(path)} cannot be read, found {node.value[:60]!r}."
            )
            return None

    def _line(self, node: Node) -> str:
        return f"{self.source}, line {node.start_mark.line + 1}"


def _not_yaml(error: yaml.MarkedYAMLError, source: str) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"{source}, line {mark.line + 1}" if mark is not None else source
    hint = ": indent with spaces, not tabs" if "'\\t'" in (error.problem or "") else ""
    context = f"{error.context}, " if error.context else ""
    return f"{where}: this is not valid YAML ({context}{error.problem}){hint}."


def _code(character: int | str) -> str:
    """PyYAML gives the number of a character in text, and the byte itself in bytes."""
    return f"U+{character if isinstance(character, int) else ord(character):04X}"
