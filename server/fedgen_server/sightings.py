"""What the server notices of its sites beside their answers: who is connected, whose clock is off, which version."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from fedgen.dashboard.page_state import Sighting
from fedgen.flower.superlink import Presence
from fedgen_server.sites import Member

_AGENT = re.compile(r"fedgen-client/([0-9A-Za-z.+-]{1,40})")


class Sightings:
    """Of the signed requests since the server began.

    Args:
        presence: of every node, by id, as Flower knows it.
        members: of the federation, by name.
    """

    def __init__(
        self, presence: Callable[[], Mapping[int, Presence]], members: Callable[[], Mapping[str, Member]]
    ) -> None:
        self._presence, self._members = presence, members
        self._lock = threading.Lock()
        self._said: dict[str, tuple[float, str | None]] = {}

    def note(self, site: str, its_time: str, agent: str, now: datetime) -> None:
        """A signed request of a site has come: its clock and its version, the latter as it says."""
        found = _AGENT.match(agent)
        ahead = (datetime.fromisoformat(its_time) - now).total_seconds()
        with self._lock:
            self._said[site] = round(ahead, 1), None if found is None else found[1]

    def all(self) -> dict[str, Sighting]:
        """Every member, by name."""
        nodes, members = self._presence(), self._members()
        with self._lock:
            said = dict(self._said)
        found = {}
        for name, member in members.items():
            node = nodes.get(member.node_id)
            clock, version = said.get(name, (None, None))
            found[name] = Sighting(
                connected=node is not None and node.online,
                last_seen=None if node is None else node.last_seen,
                clock=clock,
                fedgen=version,
            )
        return found
