"""The runs of a federation for its page, and the two things that may be done to one there."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedgen.dashboard.page_state import PageState, Sighting
from fedgen.dashboard.watched import Followed
from fedgen.errors import FederationError
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Event
from fedgen_server.conduct_lock import is_conducted, stop_conductor
from fedgen_server.folder import Federation
from fedgen_server.sightings import Sightings

#: What a run's own process says that the page has started, in the run's folder.
RESUME_LOG = "resume.log"
#: Of a study's hash, in an address.
KEY = 16


class WatchedFederation:
    """As `fedgen.dashboard.watched.Watched`.

    Args:
        federation: whose.
        sightings: of its sites.
    """

    def __init__(self, federation: Federation, sightings: Sightings) -> None:
        self._federation, self._seen = federation, sightings
        self._lock = threading.Lock()
        self._followed: dict[str, Followed] = {}
        self._resumed: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def title(self) -> str:
        """The federation's name."""
        return self._federation.config.name

    def runs(self) -> Sequence[str]:
        """Of the runs, the newest first."""
        entries = self._federation.studies.all()
        order = sorted(entries, key=lambda sha256: entries[sha256].manifest.created, reverse=True)
        return [sha256[:KEY] for sha256 in order]

    def state(self, key: str) -> PageState | None:
        """A run as it is now."""
        run = self._find(key)
        return None if run is None else run.state(self._conducted(key, run.run), self.sightings())

    def events(self, key: str) -> Sequence[Event]:
        """Its events."""
        run = self._find(key)
        return () if run is None else run.events()

    def folder(self, key: str) -> Path | None:
        """Its folder."""
        run = self._find(key)
        return None if run is None else run.run.path

    def sightings(self) -> Mapping[str, Sighting]:
        """Of every member."""
        return self._seen.all()

    def stop(self, key: str, who: str) -> str:
        """Tell the process that conducts it to stop.

        Raises:
            FederationError: none does.
        """
        run = self._required(key)
        if not stop_conductor(run.run):
            raise FederationError("No process conducts this run now: look at its page again.")
        self._federation.log.write("stopped_by_page", run=str(run.run.path), by=who)
        return "told to stop"

    def resume(self, key: str, who: str) -> str:
        """Start `fedgen-server resume` for it, as a process of its own that outlives the server.

        Raises:
            FederationError: a process conducts it already.
        """
        run = self._required(key)
        with self._lock:
            if self._conducted(key, run.run):
                raise FederationError("A process conducts this run already: look at its page again.")
            command = ["resume", run.run.path.name, "--folder", str(self._federation.paths.folder.absolute())]
            with (run.run.path / RESUME_LOG).open("ab") as log:
                self._resumed[key] = subprocess.Popen(
                    [sys.executable, "-m", "fedgen_server.cli", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        self._federation.log.write("resumed_by_page", run=str(run.run.path), by=who)
        return "started"

    def _conducted(self, key: str, run: RunDirectory) -> bool:
        """Whether a process conducts it, or is about to."""
        started = self._resumed.get(key)
        return is_conducted(run) or (started is not None and started.poll() is None)

    def _required(self, key: str) -> Followed:
        run = self._find(key)
        if run is None:
            raise FederationError("This federation has no such run: look at its page again.")
        return run

    def _find(self, key: str) -> Followed | None:
        with self._lock:
            if key not in self._followed:
                entries = self._federation.studies.all()
                entry = next((entries[sha256] for sha256 in entries if sha256[:KEY] == key), None)
                if entry is None:
                    return None
                self._followed[key] = Followed(
                    RunDirectory(Path(entry.run)), entry.manifest.to_study(), key, sorted(entry.sites)
                )
            return self._followed[key]
