"""How the coordinator reaches sites: one interface, whatever carries the messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from fedgen.protocol.messages import Answer, Task


class Answering(Protocol):
    """Who does a task: a site, or a hospital that has one for each study it approved."""

    def answer(self, task: Task) -> Answer:
        """Do it."""


class Exchange(Protocol):
    """Sends tasks to sites and brings their answers back."""

    def sites(self) -> Sequence[str]:
        """Names of the sites that can be reached now."""

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        """Send each site its task and yield answers as they come, for at most `deadline` seconds."""


def ask(exchange: Exchange, tasks: Mapping[str, Task], deadline: float) -> dict[str, Answer]:
    """All answers that came within `deadline` seconds; a silent site is absent."""
    return dict(exchange.stream(tasks, deadline))
