"""A site's own log: one JSON line an event, in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedgen.run.atomic import unwritable


@dataclass(frozen=True)
class SiteLog:
    """Appends to a file.

    Attributes:
        path: of the file; made with its folder where absent.
    """

    path: Path

    def __call__(self, event: str, fields: Mapping[str, object]) -> None:
        """Write an event.

        Raises:
            DataError: the file cannot be written.
        """
        line = json.dumps({"time": datetime.now(UTC).isoformat(), "event": event, **fields})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(line + "\n")
        except OSError as error:
            raise unwritable(self.path, error) from error
