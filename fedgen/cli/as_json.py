"""`--json`: what a command tells a person as a table, a program gets as one typed object on standard output.

One convention for the three programs. A command has the option `AsJson`, says with `tells` which model it prints, and
prints it with `print_told`; nothing else is then on standard output. Keys are never renamed without a line in the
changelog; more may be added. A number that has no bound (an epsilon of work without privacy) is null.
docs/reference/json.md is written from the models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from fedgen.schema.section import Section

C = TypeVar("C", bound=Callable[..., Any])
S = TypeVar("S", bound="Section")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
#: Where a command keeps what it tells.
_TELLS = "__fedgen_tells__"


def tells(model: type[Section] | str, option: str = "") -> Callable[[C], C]:
    """Mark a command with the form of what it prints with `--json`; its fields have descriptions.

    Args:
        model: the form, or `module:Name` of it, where `--help` should not wait for forms to be made.
        option: with which it prints this form instead, such as `--phi`; empty for the form without.
    """

    def mark(command: C) -> C:
        setattr(command, _TELLS, {option: model, **getattr(command, _TELLS, {})})
        return command

    return mark


def forms_of(command: Callable[..., Any]) -> dict[str, type[Section]]:
    """The forms that a command prints with `--json`, by the option that asks for each; none where it has not said."""
    found: dict[str, type[Section] | str] = getattr(command, _TELLS, {})
    return {option: _form(model) for option, model in found.items()}


def _form(model: type[Section] | str) -> type[Section]:
    if not isinstance(model, str):
        return model
    module, _, name = model.partition(":")
    form: type[Section] = getattr(import_module(module), name)
    return form


def told_by(command: Callable[..., Any]) -> type[Section] | None:
    """The form that a command prints with `--json` alone; None where it has not said."""
    return forms_of(command).get("")


def told(model: type[S], plain: Mapping[str, Any]) -> S:
    """Plain values as the object of a command."""
    return model.model_validate_json(json.dumps(plain, allow_nan=False))


def print_told(found: Section) -> None:
    """Print the object, and nothing beside it."""
    typer.echo(found.model_dump_json(indent=1))


def finite(number: float | None) -> float | None:
    """A number as JSON may hold it; null where it has no bound.

    >>> finite(1.5), finite(math.inf), finite(None)
    (1.5, None, None)
    """
    return number if number is not None and math.isfinite(number) else None


def commands_of(places: Mapping[str, str]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every command of a program with its words, such as `study presets`, in the order of `--help`.

    Args:
        places: as `fedgen.cli.deferred.deferring`.
    """
    for name, place in places.items():
        module, _, attribute = place.partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            yield name, found
            continue
        for command in found.registered_commands:
            if command.callback is not None:
                yield (
                    f"{name} {command.name or command.callback.__name__.replace('_', '-')}",
                    command.callback,
                )
