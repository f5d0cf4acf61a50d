"""The `fedgen` command as a shell runs it, and as typer's runner does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPO = Path(__file__).parents[3]


@pytest.fixture
def fedgen(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`fedgen("simulate", "demo")` in a process of its own, in an empty folder."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(str(REPO / folder) for folder in (".", "privacy", "client", "server"))
        return subprocess.run(
            [sys.executable, "-m", "fedgen.cli", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return call


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    """A study of a phantom with two sites."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "study: {name: tiny, seed: 3}\n"
        "data: {modality: T1w, image_size: [16, 16], phantom: {sites: 2, patients: 12}}\n"
        "model: {family: vae, vae: {channels: [4, 8], latent_size: 4}}\n"
        "training: {rounds: 1, local_steps: 2, batch_patients: 3}\n"
        "privacy: {epsilon: 20, delta: 1.0e-3}\n"
        "aggregation: {secure: false}\n"
    )
    return path
