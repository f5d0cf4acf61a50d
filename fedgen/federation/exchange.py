"""How the coordinator reaches sites: one interface, whatever carries the messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from fedgen.federation.site import Site
from fedgen.protocol.messages import Answer, Task


class Exchange(Protocol):
    """Sends tasks to sites and brings their answers back."""

    def sites(self) -> Sequence[str]:
        """Names of the sites that can be reached now."""

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        """Send each site its task and yield answers as they come, for at most `deadline` seconds."""


def ask(exchange: Exchange, tasks: Mapping[str, Task], deadline: float) -> dict[str, Answer]:
    """All answers that came within `deadline` seconds; a silent site is absent."""
    return dict(exchange.stream(tasks, deadline))


class DirectExchange:
    """Sites in this process: for tests, and for debugging a study without any transport."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = {site.name: site for site in sites}

    def sites(self) -> Sequence[str]:
        """All of them."""
        return sorted(self._sites)

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        """Call each site in turn."""
        for name, task in tasks.items():
            yield name, self._sites[name].answer(task)
