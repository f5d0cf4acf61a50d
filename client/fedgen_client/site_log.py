"""The site log: one JSON object a line for everything that entered, left or was decided; only ever appended to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedgen.run.atomic import unreadable, unwritable
from fedgen_client.plain import printable
from fedgen_privacy.durable import append_line
from fedgen_privacy.lock import exclusive

Entry = Mapping[str, Any]


def fingerprint(content: bytes) -> dict[str, Any]:
    """Fields `bytes` and `sha256` of a message that entered or left."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@dataclass(frozen=True)
class SiteLog:
    """The log file of one site; the commands and the running site process may write it at the same time.

    Args:
        path: JSON lines; created where absent.
    """

    path: Path

    def write(self, event: str, **fields: object) -> None:
        """Append one line, on disk when this returns.

        Args:
            event: what happened: `received`, `sent`, `refused`, `joined`, `approved`, `denied`, ...
            fields: such as study, round, kind, bytes, sha256, epsilon, decision, reason; plain JSON values.

        Raises:
            DataError: it cannot be written; what it was to announce must not happen then.
            LockedError: another process has held the log for ten seconds.
        """
        self.write_all([{"event": event, **fields}])

    def write_all(self, entries: Sequence[Entry]) -> None:
        """Append several lines at once, each with its `event`: all of them are on disk when this returns, or none.

        Raises:
            DataError, LockedError: as `write`.
        """
        time = datetime.now(UTC).isoformat()
        lines = [json.dumps({"time": time, **entry}, allow_nan=False) for entry in entries]
        try:
            with exclusive(self.path.with_name(f".{self.path.name}.lock")):
                self._end_torn_line()
                append_line(self.path, "\n".join(lines).encode())
        except OSError as error:
            raise unwritable(self.path, error) from error

    def _end_torn_line(self) -> None:
        # A power failure may have left a part of a line, and the next would be lost in it.
        if self.path.exists() and self.path.stat().st_size:
            with self.path.open("r+b") as handle:
                handle.seek(-1, os.SEEK_END)
                if handle.read() != b"\n":
                    handle.write(b"\n")

    def entries(self) -> Iterator[Entry]:
        """Every line so far; one cut off by a power failure, or damaged, is shown as the event `damaged`.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            with self.path.open("rb") as handle:
                for number, line in enumerate(handle, start=1):
                    yield parse_line(line, number)
        except FileNotFoundError:
            return
        except OSError as error:
            raise unreadable(self.path, error) from error


def parse_line(line: bytes, number: int | None = None) -> Entry:
    """One line of the log."""
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if isinstance(value, dict) and isinstance(value.get("event"), str) and isinstance(value.get("time"), str):
        return value
    return {"time": "?", "event": "damaged", "line": number}


def sentence(entry: Entry) -> str:
    """An entry as a person reads it: time, event, then its fields.

    >>> sentence({"time": "2026-01-02T03:04:05.678+00:00", "event": "sent", "kind": "describe", "bytes": 812})
    '2026-01-02 03:04:05  sent      kind describe, bytes 812'
    """
    time = str(entry["time"]).replace("T", " ")[:19]
    fields = ", ".join(
        f"{name} {_short(name, value)}"
        for name, value in entry.items()
        if name not in ("time", "event") and value is not None
    )
    return printable(f"{time}  {entry['event']:<9} {fields}".rstrip())


def _short(name: str, value: object) -> object:
    return value[:12] if isinstance(value, str) and name in ("study", "sha256", "manifest") else value
