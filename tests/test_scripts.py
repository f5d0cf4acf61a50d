"""What the scripts of benchmarks and simulations import of our packages exists: no test runs most of them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("fedgen", "fedgen_privacy", "fedgen_client", "fedgen_server")
SCRIPTS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("benchmarks", "simulations")
    for path in (ROOT / folder).rglob("*.py")
)


def _exists(module: str, name: str) -> bool:
    found = importlib.import_module(module)
    if hasattr(found, name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None if hasattr(found, "__path__") else False


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_name_that_a_script_imports_of_ours_exists(script: str) -> None:
    tree = ast.parse((ROOT / script).read_text("utf-8"))
    wanted = [
        (node.module, each.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS
        for each in node.names
    ]
    missing = [f"{module}.{name}" for module, name in wanted if not _exists(module, name)]
    assert not missing, f"{script} imports what is no more: {', '.join(missing)}"
