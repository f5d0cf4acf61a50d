"""`--json`: every command that shows people a table has it, in a form that is written down and kept."""

from __future__ import annotations

import ast
import inspect
import runpy
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import rich.table
import typer
from pydantic import Field
from typer.testing import CliRunner

from fedgen.cli.as_json import AsJson, commands_of, forms_of, print_told, tells, told_by
from fedgen.cli.main import PLACES as WORKSHOP
from fedgen.schema.section import Section
from fedgen_client.cli.main import PLACES as HOSPITAL
from fedgen_server.cli.main import PLACES as COORDINATOR

REPO = Path(__file__).parent.parent
PROGRAMS = {"fedgen": WORKSHOP, "fedgen-client": HOSPITAL, "fedgen-server": COORDINATOR}
#: A line for each thing, without the box of a table: no rule finds these.
LINES = {
    "fedgen-client studies",
    "fedgen-client check",
    "fedgen-client ledger",
    "fedgen-client fingerprint",
    "fedgen-server fingerprint",
}
#: Print what they print for people as JSON, in keys that no model holds yet. This set only ever shrinks.
UNTYPED = {
    "fedgen-client log",
    "fedgen-server log",
}


def every_command() -> dict[str, Callable[..., Any]]:
    return {
        f"{program} {words}": command
        for program, places in PROGRAMS.items()
        for words, command in commands_of(places)
    }


COMMANDS = every_command()


def reached(function: Callable[..., Any], seen: set[Any] | None = None) -> Iterator[Any]:
    """What a function names, and what the functions of ours that it names do, in whatever module they are."""
    seen = set() if seen is None else seen
    function = inspect.unwrap(function)
    if function in seen:
        return
    seen.add(function)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    local: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                local[alias.asname or alias.name] = getattr(import_module(node.module), alias.name, None)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for name in sorted(names):
        found = local.get(name, function.__globals__.get(name))
        yield found
        if inspect.isfunction(found) and found.__module__.startswith("fedgen"):
            yield from reached(found, seen)


def prints_a_table(command: Callable[..., Any]) -> bool:
    return any(found is rich.table.Table for found in reached(command))


def takes_json(command: Callable[..., Any]) -> bool:
    # The click command, so that it is the option that a person types and not a parameter of some name.
    alone = typer.Typer()
    alone.command()(command)
    return any("--json" in parameter.opts for parameter in typer.main.get_command(alone).params)


def test_the_walk_finds_tables_wherever_they_are_made() -> None:
    found = {words for words, command in COMMANDS.items() if prints_a_table(command)}
    # In the command, in a helper of its module, in another module, and imported inside the function.
    assert {
        "fedgen study presets",
        "fedgen compare",
        "fedgen data inspect",
        "fedgen-server sites",
        "fedgen-server status",
    } <= found
    assert not found & {"fedgen version", "fedgen-client join", "fedgen-server start", "fedgen study show"}


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_who_prints_a_table_prints_json(words: str) -> None:
    command = COMMANDS[words]
    if prints_a_table(command) or words in LINES:
        assert takes_json(command), f"{words} prints a table and has no --json"
    if takes_json(command):
        assert (told_by(command) is None) == (words in UNTYPED), words
    else:
        assert told_by(command) is None, f"{words} has a form and no --json"


def test_a_command_with_a_table_and_no_json_is_found() -> None:
    def shows() -> None:
        from rich.table import Table

        print(Table())

    assert prints_a_table(shows) and not takes_json(shows)


def fields(model: type[Section]) -> Iterator[tuple[str, Any, type[Section]]]:
    for name, field in model.model_fields.items():
        yield name, field, model
        for kind in inner_models(field.annotation):
            yield from fields(kind)


def inner_models(kind: Any) -> Iterator[type[Section]]:
    from typing import get_args

    if isinstance(kind, type) and issubclass(kind, Section):
        yield kind
    for argument in get_args(kind):
        yield from inner_models(argument)


def test_the_reference_is_written_from_the_models() -> None:
    page = (REPO / "docs/reference/json.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(REPO / "tools/json_reference.py"))["page"]() == page, "run `make docs`"
    assert "tools/json_reference.py > docs/reference/json.md" in (REPO / "Makefile").read_text()
    for words, command in COMMANDS.items():
        for option, model in forms_of(command).items():
            head = f"## `{f'{words} {option}'.strip()} --json`"
            assert head in page
            section = page.partition(head)[2].partition("\n## ")[0]
            for name, _, _ in fields(model):
                assert f"{name}`" in section, (words, name)


class Example(Section):
    """An example."""

    number: float | None = Field(description="a number")


def test_what_is_printed_is_one_object_and_no_infinity() -> None:
    app = typer.Typer()

    @app.command()
    @tells(Example)
    def example(as_json: AsJson = False) -> None:
        print_told(Example(number=1.5))

    result = CliRunner().invoke(app, ["--json"])
    assert Example.model_validate_json(result.stdout) == Example(number=1.5)
    with pytest.raises(ValueError, match="finite"):
        Example(number=float("inf"))


@pytest.mark.parametrize("arguments", [("study", "presets"), ("models",)])
def test_lists_of_the_workshop(arguments: tuple[str, ...]) -> None:
    from fedgen.cli.main import app

    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    model = told_by(COMMANDS[f"fedgen {' '.join(arguments)}"])
    assert model is not None
    told = model.model_validate_json(result.stdout)
    assert told.model_dump_json(indent=1) + "\n" == result.stdout
