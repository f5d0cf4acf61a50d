"""Tasks and answers between a coordinator and the sites of one study, over Flower's grid.

Sites are known by their names on the roster, which their keys prove; a site that cannot answer any more, because it
went away or came back as another process, is given up at once instead of at the deadline.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from fedgen.errors import ExitCode, FederationError
from fedgen.federation.flower import answer_of, task_message
from fedgen.flower.link import Link
from fedgen.protocol.messages import Answer, Refusal, Task

POLL_SECONDS = 0.02
#: Polls get rarer up to this while a long round of training goes on.
LONGEST_POLL = 0.1
PRESENCE_SECONDS = 1.0


class FleetExchange:
    """The exchange of one run.

    Args:
        link: the run.
        nodes: node id by site, of the study's roster.
        stop: set it to end every wait.
    """

    def __init__(self, link: Link, nodes: Mapping[str, int], stop: threading.Event) -> None:
        self._link, self._nodes, self._stop = link, dict(nodes), stop

    def sites(self) -> Sequence[str]:
        """Those that are connected now."""
        connected = self._link.connected()
        return sorted(site for site, node in self._nodes.items() if node in connected)

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        """Push all tasks, then pull and yield answers until all came, went away, or `deadline` seconds passed."""
        started = datetime.now(UTC)
        names = list(tasks)
        ids = self._link.push([task_message(self._nodes[site], tasks[site], deadline) for site in names])
        waiting = dict(zip(ids, names, strict=True))
        end = time.monotonic() + deadline
        look, poll = time.monotonic() + PRESENCE_SECONDS, POLL_SECONDS
        while waiting and time.monotonic() < end:
            if self._stop.is_set():
                raise FederationError("The run was stopped: continue it with resume.")
            replies = self._link.pull(waiting)
            for message in replies:
                site = waiting.pop(message.metadata.reply_to_message_id)
                yield site, _own(site, answer_of(message))
            if waiting and time.monotonic() > look:
                for message_id, reason in self._gone(waiting, started).items():
                    yield (site := waiting.pop(message_id)), Refusal(site, ExitCode.FEDERATION, reason)
                look = time.monotonic() + PRESENCE_SECONDS
            if waiting and not replies:
                self._stop.wait(poll)
                poll = min(1.2 * poll, LONGEST_POLL)

    def _gone(self, waiting: Mapping[str, str], asked: datetime) -> dict[str, str]:
        """Which of these messages nobody will answer, and why."""
        connected = self._link.connected()
        found = {}
        for message_id, site in waiting.items():
            since = connected.get(self._nodes[site])
            if since is None:
                found[message_id] = "the connection to it was lost"
            elif since > asked:
                found[message_id] = "it was restarted while it was asked"
        return found


def _own(site: str, answer: Answer) -> Answer:
    """The answer, if it comes in the name of the site that was asked."""
    if answer.site == site:
        return answer
    if isinstance(answer, Refusal) and answer.site == "unknown":
        return replace(answer, site=site)
    return Refusal(site, ExitCode.FEDERATION, "it answered in the name of another site")
