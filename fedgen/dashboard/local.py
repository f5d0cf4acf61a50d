"""The page of one run of this machine, beside the process that runs it: no token is kept, and nobody else is let in."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import uvicorn

from fedgen.dashboard.access import OneProcess
from fedgen.dashboard.addresses import ROOT
from fedgen.dashboard.door import Door, Doorway
from fedgen.dashboard.live_page import LivePage
from fedgen.dashboard.page_state import PageState, Sighting
from fedgen.dashboard.watched import Followed
from fedgen.errors import FederationError
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Event
from fedgen.study.study import Study
from fedgen.web.this_machine import ADDRESS, ThisMachine, quiet

#: Seconds that the server has to end.
END_SECONDS = 5.0


class OwnRun:
    """The run of this process, as `fedgen.dashboard.watched.Watched`; it is told of stop and resume.

    Args:
        run: its directory.
        study: of the run.
        key: by which the page addresses it.
    """

    def __init__(self, run: RunDirectory, study: Study, key: str) -> None:
        self._followed = Followed(run, study, key)
        self._pid = os.getpid()
        self._running = threading.Event()
        self.stopped, self.resumed = threading.Event(), threading.Event()

    @property
    def title(self) -> str:
        """Of the page."""
        return "simulation"

    @contextlib.contextmanager
    def running(self, pid: int | None = None) -> Iterator[None]:
        """The block runs it, in the process `pid`; in this one unless given."""
        self._pid = os.getpid() if pid is None else pid
        self.stopped.clear()
        self.resumed.clear()
        self._running.set()
        try:
            yield
        finally:
            self._running.clear()

    def runs(self) -> Sequence[str]:
        """The one."""
        return (self._followed.key,)

    def state(self, key: str) -> PageState | None:
        """As it is now."""
        return self._followed.state(self._running.is_set(), {}) if key == self._followed.key else None

    def events(self, key: str) -> Sequence[Event]:
        """Its events."""
        return self._followed.events() if key == self._followed.key else ()

    def folder(self, key: str) -> Path | None:
        """Its folder."""
        return self._followed.run.path if key == self._followed.key else None

    def sightings(self) -> Mapping[str, Sighting]:
        """None: virtual sites have no connection."""
        return {}

    def stop(self, key: str, who: str) -> str:
        """Interrupt the process that runs it, as the system would.

        Raises:
            FederationError: nothing goes on.
        """
        if not self._running.is_set():
            raise FederationError("This run does not go on now: look at its page again.")
        self.stopped.set()
        # Not SIGINT, which a shell ignores for what it starts in the background.
        os.kill(self._pid, signal.SIGTERM)
        return "told to stop"

    def resume(self, key: str, who: str) -> str:
        """Tell who runs it to go on.

        Raises:
            FederationError: it does.
        """
        if self._running.is_set():
            raise FederationError("This run goes on already: look at its page again.")
        self.resumed.set()
        return "started"


@contextlib.contextmanager
def shown(watched: OwnRun, port: int = 0) -> Iterator[str]:
    """Serve the page to this machine while the block runs; yields the link, token and all.

    Raises:
        FederationError: the port is taken.
    """
    keys = OneProcess()
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((ADDRESS, port))
        except OSError as error:
            raise FederationError(
                f"Port {port} cannot be opened for the page ({error.strerror}): give another with --page-port."
            ) from None
        listening.listen()
        taken = int(listening.getsockname()[1])
        door = Door(keys, Doorway(ROOT, f"fedgen-page-{taken}", secure=False))
        page = LivePage(watched, door, lambda: server.should_exit)
        server = uvicorn.Server(quiet(ThisMachine(page.app(), taken)))
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        serving.start()
        try:
            yield f"http://{ADDRESS}:{taken}{ROOT}#{keys.issue('operate')}"
        finally:
            server.should_exit = True
            serving.join(END_SECONDS)
