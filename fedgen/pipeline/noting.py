"""What is going on within a round, written down as it happens: which phase, who was asked, who has answered.

A round of an hour is one line in the journal once it is over. Who watches wants to know meanwhile whom it waits for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from fedgen.federation.exchange.contract import Exchange
from fedgen.protocol.messages import (
    Answer,
    MaskedUpdate,
    RoundUpdate,
    SecureStep,
    Task,
    TrainMasked,
    TrainRound,
)
from fedgen.run.directory import RunDirectory
from fedgen.run.events import PhaseBegun, SiteAnswered, Traffic
from fedgen_privacy.secagg import Phase

#: Of a round without secure aggregation.
PLAIN = "train"
#: Answers that come closer together than this many seconds are written together: each writing waits for the disk.
TOGETHER_SECONDS = 0.5


class Noting:
    """An exchange that writes an event `phase` before each exchange of a round, and `answered` for each update.

    Args:
        exchange: what carries the messages.
        run: where the events go.
    """

    def __init__(self, exchange: Exchange, run: RunDirectory) -> None:
        self._exchange = exchange
        self._run = run

    def sites(self) -> Sequence[str]:
        """As the exchange."""
        return self._exchange.sites()

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        """As the exchange."""
        begun = _begun(tasks)
        if begun is None:
            yield from self._exchange.stream(tasks, deadline)
            return
        self._run.event(begun)
        started = written = time.monotonic()
        waiting: list[SiteAnswered] = []
        try:
            for site, answer in self._exchange.stream(tasks, deadline):
                now = time.monotonic()
                if isinstance(answer, MaskedUpdate | RoundUpdate):
                    waiting.append(
                        SiteAnswered(
                            site=site,
                            round=begun.round,
                            phase=begun.phase,
                            seconds=round(now - started, 3),
                            bytes=Traffic(to_sites=_bytes(tasks[site]), from_sites=_bytes(answer)),
                        )
                    )
                if waiting and now >= written + TOGETHER_SECONDS:
                    self._run.all_events(waiting)
                    waiting, written = [], now
                yield site, answer
        finally:
            self._run.all_events(waiting)


def _begun(tasks: Mapping[str, Task]) -> PhaseBegun | None:
    """Of the tasks of an exchange, which are of one kind; None where it is no part of a round."""
    task, sites = next(iter(tasks.values()), None), tuple(sorted(tasks))
    if isinstance(task, SecureStep):
        return PhaseBegun(round=task.round, attempt=task.attempt, phase=task.phase.value, sites=sites)
    if isinstance(task, TrainMasked):
        return PhaseBegun(round=task.train.round, attempt=task.attempt, phase=Phase.MASK.value, sites=sites)
    if isinstance(task, TrainRound):
        return PhaseBegun(round=task.round, attempt=1, phase=PLAIN, sites=sites)
    return None


def _bytes(message: Task | Answer) -> int:
    return sum(int(part.nbytes) for part in message.parts())
