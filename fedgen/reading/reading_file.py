"""What leaves a hospital of a reading: one row, in a file that a person hands on."""

from __future__ import annotations

from typing import ClassVar

from fedgen.run.row import LeavingRows, Name
from fedgen.run.run_file import RunFile


class ReadingFile(RunFile):
    """`readings/<site>.json` of a run, and the file that `fedgen-client read --row` writes.

    Attributes:
        site: name.
        study: its hash.
        question: sha256 of the model and release that were read.
        rows: as they may leave the site.
    """

    name: ClassVar[str] = ""

    site: Name
    study: str
    question: str
    rows: LeavingRows
