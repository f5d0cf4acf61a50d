"""Virtual sites that are asked about a release at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from fedgen.evidence.at_once import at_once
from fedgen.evidence.telling import Telling
from fedgen.federation.exchange.direct import DirectExchange, NamedSite
from fedgen.protocol.messages import Answer, Task


class SitesAtOnce(DirectExchange):
    """Calls as many sites at a time as there are cores; who answers first is told first.

    Args:
        sites: their work reports through `telling`.
        telling: by which those at work are stopped where one fails, or nobody waits.
    """

    def __init__(self, sites: Sequence[NamedSite], telling: Telling) -> None:
        super().__init__(sites)
        self._telling = telling

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        """Ask all of them."""
        return at_once(
            {name: partial(self.by_name[name].answer, task) for name, task in tasks.items()}, self._telling
        )
