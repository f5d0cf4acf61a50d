"""The journal of a run as it grows: what was read once is not read again."""

from __future__ import annotations

from fedgen.run.directory import RunDirectory
from fedgen.run.events import Event, event_of
from fedgen.run.journal import START


class Tail:
    """Every event of a run so far, for who shows them.

    Args:
        run: its directory; that there is no journal yet, or none any more, is no error.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._journal = run.journal
        self._place = START
        self._events: list[Event] = []

    def events(self) -> list[Event]:
        """All so far, those that came since included.

        Raises:
            DataError: the journal cannot be read.
        """
        for entry, place in self._journal.since(self._place):
            self._events.append(event_of(entry, place.line))
            self._place = place
        return self._events
