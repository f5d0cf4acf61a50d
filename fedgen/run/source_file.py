"""data/source.json: which folder of images a simulation was started with, and what it says of itself."""

from __future__ import annotations

from typing import ClassVar

from fedgen.run.release_card import ReleaseCard
from fedgen.run.run_file import RunFile


class SourceFile(RunFile):
    """`data/source.json`.

    Attributes:
        source: the folder; None where the study generates its data.
        more: further folders of the same study.
        release: the card of the run whose synthetic images the folder holds; None for any other images.
    """

    name: ClassVar[str] = "data/source.json"

    source: str | None
    more: tuple[str, ...] = ()
    release: ReleaseCard | None = None
