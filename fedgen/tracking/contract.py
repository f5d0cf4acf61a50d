"""What a tracker is: somewhere else to look at a run, told in four kinds of things.

It is told nothing of a single patient: losses and epsilon by round, rows of evidence over the sites, grids of synthetic
images, and files that may be handed on (`fedgen.tracking.feed`). Whatever it raises ends it, and never the run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self


class Tracked(NamedTuple):
    """The run that is tracked.

    Attributes:
        name: of its folder, which no other run of this machine has.
        folder: it.
        study: name of its study.
        parameters: keys of the resolved study by their dotted name, as text.
    """

    name: str
    folder: Path
    study: str
    parameters: Mapping[str, str]


class Tracker(ABC):
    """One run in one tracker; each file of `fedgen.tracking.trackers` has one."""

    @classmethod
    @abstractmethod
    def open(cls, run: Tracked, where: str | None) -> Self:
        """Begin, or go on with what an earlier start of the run has told.

        Args:
            run: what is tracked.
            where: what follows the name and a colon in `--track`, such as a URI; None for the tracker's own default.

        Raises:
            TrackerError: it is not installed or not to be reached.
        """

    @property
    def last_round(self) -> int:
        """The last round that it was told by an earlier start; rounds up to it are not told again."""
        return 0

    @abstractmethod
    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by name, such as `loss/vae`, after round `step`."""

    @abstractmethod
    def picture(self, name: str, png: bytes, step: int) -> None:
        """A picture of synthetic images, as a PNG."""

    @abstractmethod
    def file(self, name: str, content: bytes) -> None:
        """A file that may be handed on, such as `report.html`."""

    @abstractmethod
    def close(self, status: str) -> None:
        """The run ended as `done`, `failed` or `interrupted`; everything told is on its way or on disk after this."""
