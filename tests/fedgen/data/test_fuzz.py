"""Damaged files of every format end in a told reason: no crash, no wait, no memory for what they claim.

A shard runs in a process of its own, because a library that breaks may take its process with it, and because memory is
limited by process. `tests/fedgen/data/fuzz/fuzz_readers.py INPUTS SEED [NAME]` runs one by hand.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fedgen.data.decoders.registry import by_ending

FUZZ = Path(__file__).parent / "fuzz"
#: Seconds after which a shard hangs; the worker itself gives an input ten.
PATIENCE = 3600


def fuzz(inputs: int, number: int) -> str:
    command = [sys.executable, str(FUZZ / "fuzz_readers.py"), str(inputs), str(number)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FUZZ / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_damaged_files_are_told() -> None:
    assert "250 inputs" in fuzz(250, 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 11))
def test_many_damaged_files_are_told(number: int) -> None:
    assert "10000 inputs" in fuzz(10_000, number)


def test_every_format_is_damaged() -> None:
    names = module("seed_files").seed_files()
    missing = [ending for ending in by_ending() if not any(name.endswith(ending) for name in names)]
    # The same formats by another name.
    assert set(missing) <= {".dicom", ".ima"}


def test_damage_is_done() -> None:
    mutations, png = module("mutations"), module("seed_files").seed_files()["raster-gray.png/a.png"]
    for kind in range(mutations.KINDS):
        assert mutations.damaged(png, [(kind, 40, 2**31 + 5)], False) != png
    inner = mutations.damaged(png, [(1, 40, 3)], True)
    assert inner != png
    assert inner[:8] == png[:8]
