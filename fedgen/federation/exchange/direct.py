"""Sites in this process: for tests, and for debugging a study without any transport."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from fedgen.federation.exchange.contract import Answering
from fedgen.protocol.messages import Answer, Task


class NamedSite(Answering, Protocol):
    """A site that says its name."""

    @property
    def name(self) -> str:
        """Of the site."""


class DirectExchange:
    """Calls each site in turn."""

    def __init__(self, sites: Sequence[NamedSite]) -> None:
        self.by_name = {site.name: site for site in sites}

    def sites(self) -> Sequence[str]:
        """All of them."""
        return sorted(self.by_name)

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        """Ask one after the other."""
        for name, task in tasks.items():
            yield name, self.by_name[name].answer(task)
