"""The run directory: one folder a run, every stage reads and writes it (docs/reference/run-directory.md)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from fedgen.errors import DataError
from fedgen.run.atomic import unreadable, unwritable, write_json
from fedgen.run.events import Damaged, Event, event_of, fields_of
from fedgen.run.journal import Journal, damaged_line
from fedgen.run.version import VERSION, foreign

Json = dict[str, Any]
E = TypeVar("E", bound=Event)

#: Weights that training starts from, in a run directory and in a site's folder of a study.
PRETRAINED = "pretrained.safetensors"
#: What was signed of a run, in its directory.
RELEASE = "release"


@dataclass(frozen=True)
class RunDirectory:
    """Paths and files of one run."""

    path: Path

    @classmethod
    def create(cls, parent: Path, name: str, *, now: datetime | None = None) -> RunDirectory:
        """Make `parent/<name>-<UTC time>/`, never reusing an existing folder."""
        stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        for attempt in range(100):
            path = parent / (f"{name}-{stamp}" if attempt == 0 else f"{name}-{stamp}-{attempt}")
            try:
                path.mkdir(parents=True)
                return cls(path)
            except FileExistsError:
                continue
            except OSError as error:
                raise unwritable(path, error) from error
        raise DataError(f"Cannot make a new run folder under {parent}: a hundred of that name exist.")

    @property
    def study(self) -> Path:
        """`study.yaml`: the resolved study."""
        return self.path / "study.yaml"

    @property
    def events(self) -> Path:
        """`events.jsonl`."""
        return self.path / "events.jsonl"

    @property
    def checkpoints(self) -> Path:
        """`checkpoints/`."""
        return self.path / "checkpoints"

    @property
    def pretrained(self) -> Path:
        """`pretrained.safetensors`: the weights that training starts from, where the study names some."""
        return self.path / PRETRAINED

    @property
    def samples(self) -> Path:
        """`samples/`."""
        return self.path / "samples"

    @property
    def figures(self) -> Path:
        """`figures/`."""
        return self.path / "figures"

    @property
    def sites(self) -> Path:
        """`sites/`: what belongs to each site and would stay there in a real federation."""
        return self.path / "sites"

    @property
    def data(self) -> Path:
        """`data/`: the patient index (and generated phantom data) of a simulation."""
        return self.path / "data"

    def site(self, name: str) -> Path:
        """The folder of one site; a name that is no safe file name gets a readable, unique one."""
        safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:60]
        # A name that looks like one made here gets a hash of its own, or two sites could share a folder.
        if safe != name or not name or re.search(r"-[0-9a-f]{8}$", name):
            safe = f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return self.sites / safe

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write `name` atomically; NaN and infinity are refused, not written."""
        write_json(self.path / name, value)

    def read_json(self, name: str) -> Json:
        """Read a JSON file of this run.

        Raises:
            DataError: the stage that writes it has not run, or the file is damaged or cannot be read.
        """
        path = self.path / name
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{path} does not exist: run the stage that writes it first.") from None
        except OSError as error:
            raise unreadable(path, error) from error
        except ValueError as error:
            raise DataError(f"{path} is damaged ({error}): run the stage that writes it again.") from None
        if not isinstance(value, dict):
            raise DataError(f"{path} is damaged (not an object): run the stage that writes it again.")
        return value

    @property
    def journal(self) -> Journal:
        """The journal of `events.jsonl`, over all starts of the run."""
        return Journal(self.events)

    def event(self, event: Event) -> None:
        """Append one line to `events.jsonl`, on disk when this returns.

        Raises:
            ValueError, DataError, LockedError: as `Journal.write`.
        """
        self.journal.write(event.event, **fields_of(event))

    def all_events(self, events: Sequence[Event]) -> None:
        """Append a line for each, on disk when this returns.

        Raises:
            ValueError, DataError, LockedError: as `Journal.write`; then none of them was written.
        """
        self.journal.write_all([{"event": event.event, **fields_of(event)} for event in events])

    def events_so_far(self) -> list[Event]:
        """Every event, for who shows them: a line that is none of this version is `Damaged`.

        Raises:
            DataError: the file cannot be read.
        """
        return [event_of(entry, line) for line, entry in enumerate(self.journal.entries(), 1)]

    def whole_events(self) -> list[Event]:
        """Every event, for who computes from them.

        Raises:
            DataError: a line is damaged, or another version of fedgen wrote it.
        """
        found: list[Event] = []
        for line, entry in enumerate(self.journal.whole(), 1):
            if entry.get("version") != VERSION:
                raise foreign(self.events, entry.get("version"))
            event = event_of(entry, line)
            if isinstance(event, Damaged):
                raise damaged_line(self.events, line)
            found.append(event)
        return found

    def read_events(self, kind: type[E]) -> list[E]:
        """Events of one kind, for who computes from them.

        Raises:
            DataError: as `whole_events`.
        """
        return [event for event in self.whole_events() if isinstance(event, kind)]
