"""What lists commands imports none of them, and says of each what it says itself."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import click
import pytest
import typer
from typer.testing import CliRunner

from fedgen.cli.deferred import Deferred, deferring

PROGRAMS = ("fedgen.cli.main", "fedgen_client.cli.main", "fedgen_server.cli.main")
LISTED = """
import json, sys
from importlib import import_module
found = {}
for program in sys.argv[1:]:
    module = import_module(program)
    sys.argv = ["program", "--help"]
    try:
        module.app(standalone_mode=True)
    except SystemExit as left:
        assert not left.code
    places = {place.partition(":")[0] for place in module.PLACES.values()}
    heavy = {"torch", "numpy", "pydantic", "yaml", "cryptography", "httpx"}
    found[program] = sorted((places | heavy) & {*sys.modules})
print(json.dumps(found), file=sys.stderr)
"""


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_list_says_what_each_command_says(program: str) -> None:
    module = import_module(program)
    group = typer.main.get_command(module.app)
    assert isinstance(group, click.Group)
    found = {name: each for name, each in group.commands.items() if isinstance(each, Deferred)}
    assert list(found) == list(module.PLACES)
    for name, command in found.items():
        assert command.about and command.about == command.real.help, name


def test_listing_imports_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTED, *PROGRAMS], capture_output=True, text=True, timeout=600, check=True
    )
    assert json.loads(done.stderr.splitlines()[-1]) == {program: [] for program in PROGRAMS}
    for line in ("simulate", "approve", "renew"):
        assert line in done.stdout


def test_a_command_is_imported_when_it_is_called() -> None:
    places = {"version": "fedgen.cli.main:print_version", "models": "fedgen.cli.models:models"}
    app = typer.Typer(cls=deferring(places))

    @app.command("own")
    def own() -> None:
        """One of its own."""
        typer.echo("own")

    @app.callback()
    def options() -> None:
        """Nothing."""

    run = CliRunner().invoke
    assert run(app, ["own"]).output == "own\n"
    assert run(app, ["version"]).exit_code == 0
    assert "--json" in run(app, ["models", "--help"]).output
    assert run(app, ["models", "--fast"]).exit_code == 2
    assert "Did you mean 'models'?" in run(app, ["model"]).output


def test_one_without_words_is_listed_all_the_same() -> None:
    assert Deferred("a", "fedgen.cli.models:nothing").about is None
    assert Deferred("a", "fedgen.cli.nowhere:nothing").about is None
