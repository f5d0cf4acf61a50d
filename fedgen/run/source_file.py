"""data/source.json: which folder of images a simulation was started with."""

from __future__ import annotations

from typing import ClassVar

from fedgen.run.run_file import RunFile


class SourceFile(RunFile):
    """`data/source.json`; `source` is None where the study generates its data."""

    name: ClassVar[str] = "data/source.json"

    source: str | None
