"""The coordinator's log, `log.jsonl`: who was invited, joined, was removed, and what became of each study."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from fedgen.run.atomic import unwritable
from fedgen_privacy.durable import append_line


class FederationLog:
    """An append-only file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, event: str, **fields: object) -> None:
        """Append `event` with the time and `fields`.

        Raises:
            DataError: the disk is full or the file not writable.
        """
        line = {"time": datetime.now(UTC).isoformat(), "event": event, **fields}
        try:
            append_line(self._path, json.dumps(line, allow_nan=False).encode())
        except OSError as error:
            raise unwritable(self._path, error) from error

    def read(self) -> list[dict[str, object]]:
        """Every line so far; one cut off by a power failure is left out."""
        if not self._path.exists():
            return []
        entries = []
        for line in self._path.read_bytes().splitlines():
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue
        return entries
