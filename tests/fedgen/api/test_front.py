"""`import fedgen` is light, names what the page names, and is what the command line is made of."""

from __future__ import annotations

import ast
import doctest
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import fedgen
from fedgen.cli import runs
from fedgen.study import presets

REPO = Path(__file__).parents[3]
HEAVY = ["torch", "monai", "flwr", "numpy", "pydantic", "yaml", "typer", "rich", "IPython"]
PROGRAM = f"""
import json, sys
def loaded():
    return [name for name in {HEAVY} if name in sys.modules]
found = {{}}
import fedgen
found["import"] = loaded()
dir(fedgen), [getattr(fedgen, name) for name in ("study", "Run", "open_run", "inspect", "verify")]
fedgen.study("demo")
found["study"] = loaded()
fedgen.simulate
found["simulate"] = loaded()
print(json.dumps(found))
"""
#: Modules with examples that anybody can run.
EXAMPLES = ("fedgen.api.study_given", "fedgen.api.open_run", "fedgen.api.notebook")


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """Which heavy libraries one fresh process has imported after each step."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=600, check=True
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_the_import_loads_nothing(loaded: dict[str, list[str]]) -> None:
    assert loaded["import"] == []


def test_a_study_is_made_without_torch(loaded: dict[str, list[str]]) -> None:
    assert {"pydantic", "yaml"} <= {*loaded["study"]}, "what is loaded is seen"
    assert not {"torch", "monai", "flwr"} & {*loaded["study"], *loaded["simulate"]}


def test_every_name_is_there_and_documented() -> None:
    page = (REPO / "docs/reference/python-api.md").read_text(encoding="utf-8")
    for name in fedgen.__all__:
        assert callable(getattr(fedgen, name)), name
        assert f"`fedgen.{name}" in page, name
        assert name in dir(fedgen)
    assert sorted({*fedgen._HOMES, "study"}) == fedgen.__all__
    with pytest.raises(AttributeError, match="no attribute 'simulated'"):
        _ = fedgen.simulated


def test_the_room_of_studies_is_also_what_makes_one() -> None:
    assert fedgen.study.presets is presets
    assert fedgen.study("demo").study.name == "demo"


def test_the_declared_names_are_those_at_run_time() -> None:
    """What mypy reads of the front door is what a program gets."""
    tree = ast.parse((REPO / "fedgen/__init__.py").read_text(encoding="utf-8"))
    told = next(node for node in tree.body if isinstance(node, ast.If))
    for node in told.body:
        assert isinstance(node, ast.ImportFrom) and node.module
        for each in node.names:
            assert each.name in dir(import_module(node.module))
            if each.name != "study":
                assert fedgen._HOMES[each.name] == node.module


@pytest.mark.parametrize("module", EXAMPLES)
def test_the_examples_are_true(module: str, small_run) -> None:
    names = {"done": small_run.work.run.path}
    tested = import_module(module)
    outcome = doctest.testmod(tested, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_a_false_example_would_be_found() -> None:
    found = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "planted", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(found, out=lambda text: None).failed == 1


def test_the_command_line_has_no_way_of_its_own() -> None:
    """Its modules of runs import neither the pipeline nor a simulation."""
    source = Path(runs.__file__).read_text(encoding="utf-8")
    imported = {node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert "fedgen.api.simulate" in imported
    assert not [name for name in imported if name.startswith(("fedgen.pipeline", "fedgen.federation"))]
