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
found = {{}}
for command in sys.argv[1:]:
    sys.argv = ["fedgen", *command.split()]
    try:
        run()
    except SystemExit as left:
        found[command] = [left.code or 0, [name for name in {SLOW} if name in sys.modules]]
print(json.dumps(found), file=sys.stderr)
"""
#: With their exit codes.
LIGHT = {
    "version": 0,
    "--help": 0,
    "simulate --help": 0,
    "compare --help": 0,
    "data index --help": 0,
    "data inspect --help": 0,
    "prior show --help": 0,
    "privacy plan --help": 0,
    "privacy selftest --help": 0,
    "report nowhere": 4,
    "study check demo": 0,
    "study show demo": 0,
    "models": 0,
    "models --json": 0,
    "simulate demo --set training.round=3": 2,
    "simulate demo --data nowhere": 2,
}
#: Comes last: it makes a network, and shows that what is imported is seen.
HEAVY = "study check chest_xray_finetune"


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[int, list[str]]]:
    """Exit code of each command, and which slow libraries the one process of them all has imported by then."""
    path = os.pathsep.join(str(REPO / folder) for folder in (".", "privacy"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *LIGHT, HEAVY],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    found = json.loads(done.stderr.splitlines()[-1])
    return {command: (code, loaded) for command, (code, loaded) in found.items()}


@pytest.mark.parametrize("command", LIGHT)
def test_nothing_slow_is_imported(outcomes, command: str) -> None:
    assert outcomes[command] == (LIGHT[command], [])


def test_a_command_that_computes_is_seen_to_import(outcomes) -> None:
    code, loaded = outcomes[HEAVY]
    assert code == 0
    assert "torch" in loaded
