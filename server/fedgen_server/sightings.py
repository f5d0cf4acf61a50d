"""What the server notices of its sites beside their answers: who is connected, whose clock is off, which version.

Flower's database keeps who was there when. What a site says of itself is in `sightings.json`, so that it outlives the
server: written a moment after it changed, and not at every request.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fedgen.dashboard.page_state import Sighting
from fedgen.errors import FedgenError
from fedgen.flower.superlink import Presence
from fedgen.schema.section import Section
from fedgen_server.sites import Member
from fedgen_server.storage import read_model, write_model

#: Seconds in which whatever is noticed is written together; a server that is killed forgets at most these.
TOGETHER_SECONDS = 60.0

_AGENT = re.compile(r"fedgen-client/([0-9A-Za-z.+-]{1,40})")
_log = logging.getLogger(__name__)


class _Said(Section):
    at: datetime
    clock: float
    fedgen: Annotated[str, Field(max_length=40)] | None = None


class _Kept(Section):
    sites: dict[str, _Said] = Field(default_factory=dict)


class Sightings:
    """Of the signed requests of sites, those before the server began included.

    Args:
        presence: of every node, by id, as Flower knows it.
        members: of the federation, by name.
        path: `sightings.json`.
        together: seconds between two writings.
    """

    def __init__(
        self,
        presence: Callable[[], Mapping[int, Presence]],
        members: Callable[[], Mapping[str, Member]],
        path: Path,
        together: float = TOGETHER_SECONDS,
    ) -> None:
        self._presence, self._members = presence, members
        self._path, self._together = path, together
        self._lock = threading.Lock()
        self._said = _before(path)
        self._due: threading.Timer | None = None

    def note(self, site: str, its_time: str, agent: str, now: datetime) -> None:
        """A signed request of a site has come: its clock and its version, the latter as it says."""
        found = _AGENT.match(agent)
        ahead = (datetime.fromisoformat(its_time) - now).total_seconds()
        # Plus nothing, so that a clock which is right is not shown as minus nothing.
        said = _Said(at=now, clock=round(ahead, 1) + 0.0, fedgen=None if found is None else found[1])
        with self._lock:
            self._said[site] = said
            if self._due is None:
                # In a thread of its own: whoever answers the request must not wait for the disk.
                self._due = threading.Timer(self._together, self.keep)
                self._due.daemon = True
                self._due.start()

    def keep(self) -> None:
        """Write down what was noticed of the members; at the latest when the server ends."""
        with self._lock:
            if self._due is None:
                return
            self._due.cancel()
            self._due = None
            said = dict(self._said)
        try:
            members = self._members()
            sites = {name: each for name, each in sorted(said.items()) if name in members}
            write_model(self._path, _Kept(sites=sites))
        except FedgenError as error:
            # What a page shows is worth neither a request nor the server.
            _log.warning("%s", error)

    def all(self) -> dict[str, Sighting]:
        """Every member, by name."""
        nodes, members = self._presence(), self._members()
        with self._lock:
            known = dict(self._said)
        found = {}
        for name, member in members.items():
            node, said = nodes.get(member.node_id), known.get(name)
            found[name] = Sighting(
                connected=node is not None and node.online,
                last_seen=None if node is None else node.last_seen,
                clock=None if said is None else said.clock,
                fedgen=None if said is None else said.fedgen,
                said=None if said is None else said.at.isoformat(),
            )
        return found


def _before(path: Path) -> dict[str, _Said]:
    """What an earlier server has kept; nothing of a damaged file, whose content the sites say again."""
    try:
        return dict(read_model(path, _Kept, _Kept()).sites)
    except FedgenError as error:
        _log.warning("%s", error)
        return {}
