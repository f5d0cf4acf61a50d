"""What a site's supervisor and a coordinator's server load brings no torch with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[3]
HEAVY = ("torch", "opacus", "monai", "scipy", "ray", "flwr")


@pytest.mark.parametrize("module", ["invitation", "manifest", "signing", "enrolment"])
def test_importing_it_is_light(module: str) -> None:
    program = f"import sys, fedgen.protocol.{module}\nassert not {{*sys.modules}} & set({HEAVY}), sorted(sys.modules)"
    path = os.pathsep.join(str(REPO / folder) for folder in (".", "privacy"))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
