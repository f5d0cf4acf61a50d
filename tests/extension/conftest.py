"""fedgen with files added in a temporary folder, as a fresh process finds it: nothing is registered anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
#: Run by Python itself at its start: every package that has a folder of the same name in the addition goes on there.
SITECUSTOMIZE = """
import importlib, pathlib
addition = pathlib.Path(__file__).parent
for folder in sorted(path for path in addition.rglob("*") if path.is_dir()):
    # A folder with an __init__.py is a package that is added, one without is where it is added.
    if folder.name != "__pycache__" and not (folder / "__init__.py").exists():
        importlib.import_module(".".join(folder.relative_to(addition).parts)).__path__.append(str(folder))
"""

#: Runs `python ARGUMENTS` in the repository with the addition.
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, str]], Run]:
    """`run = extended({"fedgen/families/mine/options.py": text, ...}); run("-m", "fedgen.cli", "models")`."""

    def add(files: Mapping[str, str]) -> Run:
        addition = tmp_path_factory.mktemp("addition")
        for name, text in {"sitecustomize.py": SITECUSTOMIZE, **files}.items():
            path = addition / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        # The repository is found as this process finds it.
        path = os.pathsep.join([str(addition), *(entry for entry in sys.path if entry)])

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, *arguments],
                cwd=REPO,
                env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )

        return run

    return add
