"""Commands whose module is imported when one of them is called: what only lists them waits for none.

A program names the place of each command. What `--help` lists of it is read from the source there, as text: importing
every module for one line of each took several times as long as everything else that `--help` does.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import typer
from typer.core import TyperGroup


class Deferred(click.Command):
    """Stands for a command until it is called.

    Args:
        name: as it is typed.
        place: `module:name` of its function, or of a `typer.Typer` with commands of its own.
    """

    def __init__(self, name: str, place: str) -> None:
        super().__init__(name)
        self._module, _, self._attribute = place.partition(":")

    @cached_property
    def real(self) -> click.Command:
        """The command itself, imported."""
        found = getattr(import_module(self._module), self._attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        alone = typer.Typer(add_completion=False)
        alone.command(self.name)(found)
        return typer.main.get_command(alone)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Of the command itself, which is what is then called."""
        return self.real.make_context(info_name, args, parent, **extra)

    @cached_property
    def about(self) -> str | None:
        """Its help, read and not imported; None where the source does not say."""
        spec = find_spec(self._module)
        if spec is None or spec.origin is None:
            return None
        for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name == self._attribute:
                return ast.get_docstring(node)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == self._attribute:
                return _help_of(node.value)
        return None


def _help_of(call: ast.expr) -> str | None:
    """What `typer.Typer(help=...)` says."""
    for keyword in call.keywords if isinstance(call, ast.Call) else ():
        if keyword.arg == "help" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return None


def deferring(places: Mapping[str, str]) -> type[TyperGroup]:
    """A class for `typer.Typer(cls=...)`, whose first commands are these by name and place, in their order."""

    class DeferringGroup(TyperGroup):
        def __init__(self, *, commands: dict[str, click.Command], **attributes: Any) -> None:
            deferred = {name: Deferred(name, place) for name, place in places.items()}
            super().__init__(commands={**deferred, **commands}, **attributes)

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            found = super().get_command(ctx, cmd_name)
            if isinstance(found, Deferred):
                found.help = found.about
            return found

    return DeferringGroup
