"""The code reference: every module that the house stands on, found by reading who imports what.

A module is a door where three other rooms or more import it: the contracts that rooms share, and the vault's. What a
room keeps to itself or lends to one neighbour may change any day and has no page. The front door, `import fedgen`, is
the first.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOTS = {"fedgen": ".", "fedgen_privacy": "privacy", "fedgen_client": "client", "fedgen_server": "server"}
FRONT = "fedgen"
#: Rooms that import a module which is everybody's.
LEAST = 3


def modules(root: Path) -> dict[str, Path]:
    """Every module of the four packages by its dotted name."""
    found = {}
    for package, place in ROOTS.items():
        for file in sorted((root / place / package).rglob("*.py")):
            name = ".".join(file.relative_to(root / place).with_suffix("").parts).removesuffix(".__init__")
            found[name] = file
    return found


def room(module: str) -> str:
    """`fedgen.study` of `fedgen.study.load`; each other package is one room."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == FRONT else parts[0]


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def doors(root: Path) -> list[str]:
    """The front door, and every public module that several other rooms import, in order of their names."""
    every = modules(root)
    trees = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in every.items()}
    users: dict[str, set[str]] = defaultdict(set)
    for importer, tree in trees.items():
        for name in _imported(tree):
            if name in every and room(name) != room(importer):
                users[name].add(room(importer))
    found = {
        name
        for name, rooms in users.items()
        if len(rooms) >= LEAST
        and ast.get_docstring(trees[name])
        and not any(part.startswith("_") for part in name.split("."))
    }
    return [FRONT, *sorted(found - {FRONT})]


def page(module: str) -> str:
    """Source path of a module's page."""
    return f"api/{module}.md"


def markdown(module: str) -> str:
    """A module's page: its docstring, and what it offers."""
    return f"# {module}\n\n::: {module}\n"


def index(names: list[str], every: dict[str, Path]) -> str:
    """The list of all doors by room, each with the first sentence of its docstring."""
    lines = [
        "# Code reference",
        "",
        "`import fedgen` is the [front door](fedgen.md). Below it are the modules that three or more other",
        "rooms of the house stand on ([how the code is built](../docs/explanation/architecture.md)): the contracts.",
        "All others are private to their room. Before version 1.0 only the front door is kept stable.",
    ]
    current = ""
    for name in names:
        if name == FRONT:
            continue
        if room(name) != current:
            current = room(name)
            lines += ["", f"## {current}", ""]
        said = ast.get_docstring(ast.parse(every[name].read_text(encoding="utf-8"))) or ""
        lines.append(f"* [`{name}`]({name}.md): {_plain(said)}")
    return "\n".join(lines) + "\n"


def _plain(docstring: str) -> str:
    return " ".join(docstring.partition("\n\n")[0].split()).replace("*", r"\*").replace("<", "&lt;")
