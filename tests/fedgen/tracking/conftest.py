"""A tracker that remembers what it was told."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fedgen.run.directory import RunDirectory
from fedgen.tracking.contract import Tracked, Tracker


class Remembering(Tracker):
    """Keeps everything in lists; `fails` is what it raises at numbers."""

    def __init__(self, known: int = 0, fails: Exception | None = None) -> None:
        self.scalars: list[tuple[int, Mapping[str, float]]] = []
        self.pictures: list[tuple[str, bytes, int]] = []
        self.files: dict[str, bytes] = {}
        self.closed: list[str] = []
        self.known, self.fails = known, fails

    @classmethod
    def open(cls, run: Tracked, where: str | None) -> Remembering:
        return cls()

    @property
    def last_round(self) -> int:
        return self.known

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        if self.fails is not None:
            raise self.fails
        self.scalars.append((step, values))

    def picture(self, name: str, png: bytes, step: int) -> None:
        self.pictures.append((name, png, step))

    def file(self, name: str, content: bytes) -> None:
        assert name not in self.files
        self.files[name] = content

    def close(self, status: str) -> None:
        self.closed.append(status)


@pytest.fixture
def remembering() -> type[Remembering]:
    return Remembering


@pytest.fixture
def run(small_run: Any, tmp_path: Path) -> RunDirectory:
    """A copy of a run that is done."""
    path = tmp_path / small_run.work.run.path.name
    shutil.copytree(small_run.work.run.path, path)
    return RunDirectory(path)
