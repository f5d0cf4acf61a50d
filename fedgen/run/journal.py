"""The one journal: an append-only file of JSON lines, each an event with its time.

One answer to damage, whoever wrote the file. A last line without its end was being written when its process died, and
nobody acted on it: it is no entry, and the next append cuts it off. Any other line that is no event was whole once: it
is never left out in silence and never takes another with it. Who shows the journal shows the line as `damaged`
(`entries`); who computes from it refuses (`whole`), since what the line said would be missing from the result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fedgen.errors import DataError
from fedgen.run.atomic import unreadable, unwritable
from fedgen.run.lock import held
from fedgen_privacy.durable import append_line

Entry = Mapping[str, Any]

#: The event of a line that is none.
DAMAGED: Literal["damaged"] = "damaged"
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Place:
    """How far somebody has read: bytes, and lines, from the beginning."""

    end: int = 0
    line: int = 0


START = Place()


@dataclass(frozen=True)
class Journal:
    """The file at `path`, created with its first entry; any number of processes may write it at the same time."""

    path: Path

    def write(self, event: str, **fields: object) -> None:
        """Append one entry, on disk when this returns.

        Args:
            event: what happened.
            fields: plain JSON values.

        Raises:
            ValueError: a number in it is NaN or infinite; nothing is written.
            DataError: it cannot be written; what it was to announce must not happen then.
            LockedError: another process has held the file for ten seconds.
        """
        self.write_all([{"event": event, **fields}])

    def write_all(self, entries: Sequence[Entry]) -> None:
        """Append several entries, each with its `event`: when this returns all of them are on disk.

        Raises:
            ValueError, DataError, LockedError: as `write`; then none of them was written.
        """
        moment = datetime.now(UTC).isoformat()
        lines = [json.dumps({"time": moment, **entry}, allow_nan=False) for entry in entries]
        if not lines:
            return
        # The file is its own lock: it is never replaced, so every writer locks the same one.
        with held(self.path):
            self._append(lines)

    def _append(self, lines: Sequence[str]) -> None:
        """Put finished lines on disk; the caller holds the file."""
        try:
            append_line(self.path, "\n".join(lines).encode())
        except OSError as error:
            raise unwritable(self.path, error) from error

    def entries(self) -> Iterator[Entry]:
        """Every entry so far, for who shows them: a damaged line is one of the event `damaged`, with its `line`.

        Raises:
            DataError: the file cannot be read.
        """
        return self._lines(follow=False)

    def follow(self) -> Iterator[Entry]:
        """As `entries`, and then, for ever, those that are written from now on."""
        return self._lines(follow=True)

    def since(self, place: Place) -> Iterator[tuple[Entry, Place]]:
        """As `entries`, those after a place, each with the place behind it."""
        for line in self._finished(place.end):
            place = Place(place.end + len(line), place.line + 1)
            yield _entry(line, place.line), place

    def whole(self) -> list[Entry]:
        """Every entry so far, for who computes from them.

        Raises:
            DataError: a line is damaged, or the file cannot be read.
        """
        found = list(self.entries())
        for entry in found:
            if entry["event"] == DAMAGED:
                raise damaged_line(self.path, entry["line"])
        return found

    def _lines(self, *, follow: bool) -> Iterator[Entry]:
        place = START
        while True:
            for entry, read in self.since(place):
                place = read
                yield entry
            if not follow:
                return
            time.sleep(_POLL_SECONDS)

    def _finished(self, start: int) -> list[bytes]:
        """Lines from byte `start` on that have their end; what follows may be cut off and written anew."""
        try:
            with self.path.open("rb") as handle:
                handle.seek(start)
                return [line for line in handle if line.endswith(b"\n")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unreadable(self.path, error) from error


def damaged_line(path: Path, line: int) -> DataError:
    """The one sentence for a line that is no event."""
    return DataError(
        f"{path} line {line} is damaged, and what it said may count: restore the file from a backup."
    )


def _entry(line: bytes, number: int) -> Entry:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if isinstance(value, dict) and isinstance(value.get("event"), str) and isinstance(value.get("time"), str):
        return value
    return {"time": "?", "event": DAMAGED, "line": number}
