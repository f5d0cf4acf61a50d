"""How the coordinator reaches sites: one interface, whatever carries the messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from fedgen.federation.site import Site
from fedgen.protocol.messages import Answer, Task


class Exchange(Protocol):
    """Sends tasks to sites and brings their answers back."""

    def sites(self) -> Sequence[str]:
        """Names of the sites that can be reached now."""

    def send(self, tasks: Mapping[str, Task], deadline: float) -> Mapping[str, Answer]:
        """Send each site its task and wait at most `deadline` seconds; a silent site is absent."""


class DirectExchange:
    """Sites in this process: for tests, and for debugging a study without any transport."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = {site.name: site for site in sites}

    def sites(self) -> Sequence[str]:
        """All of them."""
        return sorted(self._sites)

    def send(self, tasks: Mapping[str, Task], deadline: float) -> Mapping[str, Answer]:
        """Call each site in turn."""
        return {name: self._sites[name].answer(task) for name, task in tasks.items()}
