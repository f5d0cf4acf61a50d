"""Commands that compute nothing do not wait for the libraries that do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[3]
SLOW = ["torch", "monai", "opacus", "flwr", "ray", "scipy", "matplotlib"]
PROGRAM = f"""
import json, sys
from fedgen.cli.main import run
try:
    run()
except SystemExit as left:
    code = left.code or 0
print(json.dumps([code, [name for name in {SLOW} if name in sys.modules]]), file=sys.stderr)
"""


def outcome(command: str) -> tuple[int, list[str]]:
    """Exit code of a command, and which slow libraries its process has imported."""
    path = os.pathsep.join(str(REPO / folder) for folder in (".", "privacy"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command.split()],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    code, loaded = json.loads(done.stderr.splitlines()[-1])
    return code, loaded


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("version", 0),
        ("--help", 0),
        ("simulate --help", 0),
        ("study check demo", 0),
        ("study show demo", 0),
        ("models", 0),
        ("models --json", 0),
        ("simulate demo --set training.round=3", 2),
        ("simulate demo --data nowhere", 2),
    ],
)
def test_nothing_slow_is_imported(command: str, code: int) -> None:
    assert outcome(command) == (code, [])


def test_a_command_that_computes_is_seen_to_import() -> None:
    code, loaded = outcome("study check chest_xray_finetune")
    assert code == 0
    assert "torch" in loaded
