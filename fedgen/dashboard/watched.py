"""What a page watches: some runs, what is known of their sites, and how one is stopped and resumed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fedgen.dashboard.look_at import page_state
from fedgen.dashboard.page_state import PageState, PreviewNow, Sighting
from fedgen.dashboard.tail import Tail
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Event, Previewed
from fedgen.run.preview_file import preview_path, preview_percent
from fedgen.run_view import RunView
from fedgen.study.study import Study

#: In `figures/`: synthetic images alone.
SAMPLES = "samples.png"
#: What a view reads beside the journal. A folder changes with each file that is put into it.
READ = ("run.json", "audit.json", "evaluation.json", "assessments")


class Watched(Protocol):
    """What a page is about."""

    @property
    def title(self) -> str:
        """Of the page: a federation's name."""

    def runs(self) -> Sequence[str]:
        """Of the runs, the newest first."""

    def state(self, key: str) -> PageState | None:
        """A run as it is now; None where there is none of that key."""

    def events(self, key: str) -> Sequence[Event]:
        """Its events."""

    def folder(self, key: str) -> Path | None:
        """Its folder."""

    def sightings(self) -> Mapping[str, Sighting]:
        """What is known of every site, whether it has a part in a run or not."""

    def stop(self, key: str, who: str) -> str:
        """Stop it cleanly; says what was done.

        Raises:
            FedgenError: why not.
        """

    def resume(self, key: str, who: str) -> str:
        """Go on with it; says what was done.

        Raises:
            FedgenError: why not.
        """


class Followed:
    """One run, read anew as far as it has changed.

    Args:
        run: its directory.
        study: of the run.
        key: by which the page addresses it.
        roster: of its study, where it is known.
    """

    def __init__(self, run: RunDirectory, study: Study, key: str, roster: Sequence[str] = ()) -> None:
        self.run, self.key, self.roster = run, key, tuple(roster)
        self._study = study
        self._tail = Tail(run)
        self._lock = threading.Lock()
        self._view = RunView(run)
        self._read: tuple[object, ...] = ()

    def events(self) -> list[Event]:
        """All so far.

        Raises:
            DataError: the journal cannot be read.
        """
        with self._lock:
            return list(self._tail.events())

    def state(self, conducted: bool, seen: Mapping[str, Sighting]) -> PageState:
        """As it is now.

        Raises:
            DataError: a file of the run is damaged.
        """
        events = self.events()
        with self._lock:
            files = tuple(_changed(self.run.path / name) for name in READ)
            if files != self._read:
                # A view reads each file once.
                self._view, self._read = RunView(self.run), files
            return page_state(
                self._view,
                self._study,
                self.key,
                events,
                conducted=conducted,
                roster=self.roster,
                seen=seen,
                samples=(self.run.figures / SAMPLES).exists(),
                preview=self._preview(events),
                preview_percent=preview_percent(self.run),
                report=(self.run.path / "report.html").exists(),
            )

    def _preview(self, events: Sequence[Event]) -> PreviewNow | None:
        newest = next((event for event in reversed(events) if isinstance(event, Previewed)), None)
        if newest is None or not preview_path(self.run, newest.round).exists():
            return None
        return PreviewNow(round=newest.round, images=newest.images)


def _changed(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
