"""`fedgen data cache` tells where decoded images are and removes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.data.cache.store import CacheStore


def fill(new: Path) -> None:
    (new / "images.npy").write_bytes(bytes(2**20))


def test_its_place_its_size_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "cache"
    monkeypatch.setenv("FEDGEN_CACHE", str(place))
    none = CliRunner().invoke(app, ["data", "cache", "--json"])
    assert json.loads(none.stdout) == {"folder": str(place), "sets": 0, "bytes": 0, "cleared": False}
    assert not place.exists()
    CacheStore(place).write("a", "way", ("key",), (1,), fill)
    told = CliRunner().invoke(app, ["data", "cache"])
    assert told.stdout.startswith(f"{place} holds 1 set of decoded images, 1.0 MiB; beyond 20 GiB")
    gone = CliRunner().invoke(app, ["data", "cache", "--clear"])
    assert gone.stdout == f"Removed 1 set of decoded images, 1.0 MiB, from {place}\n"
    assert list(place.iterdir()) == []
    other = CliRunner().invoke(app, ["data", "cache", "--folder", str(tmp_path / "site"), "--json"])
    assert json.loads(other.stdout)["folder"] == str(tmp_path / "site")
