"""Tasks and answers between a coordinator and the sites of one study, over Flower's grid.

Sites are known by their names on the roster, which their keys prove; a site that cannot answer any more, because it
went away or came back as another process, is given up at once instead of at the deadline.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from fedgen.errors import ExitCode, FederationError
from fedgen.federation.exchange.flower import answer_of, task_message
from fedgen.flower.link import Link
from fedgen.protocol.messages import Answer, Refusal, Task
from fedgen.run.hints import hints

POLL_SECONDS = 0.015
#: Polls get rarer up to this while a long round of training goes on.
LONGEST_POLL = 0.1
PRESENCE_SECONDS = 1.0
#: Seconds for which the server may be away, and for which sites then look for it at the longest.
SERVER_SECONDS, RETURN_SECONDS = 600.0, 30.0


class FleetExchange:
    """The exchange of one run.

    Args:
        link: the run.
        nodes: node id by site, of the study's roster.
        stop: set it to end every wait.
        serving: whether the server runs that the sites connect to; while it does not, no site is given up.
    """

    def __init__(
        self,
        link: Link,
        nodes: Mapping[str, int],
        stop: threading.Event,
        serving: Callable[[], bool] = lambda: True,
    ) -> None:
        self._link, self._nodes, self._stop, self._serving = link, dict(nodes), stop, serving
        self._seen: set[int] = set()

    def sites(self) -> Sequence[str]:
        """Those that are connected now.

        Raises:
            FederationError: the server has been away for ten minutes.
        """
        self._await_server()
        connected = self._link.connected()
        self._seen = set(connected)
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
                raise FederationError(f"The run was stopped: {hints().again}.")
            replies = self._link.pull(waiting)
            for message in replies:
                site = waiting.pop(message.metadata.reply_to_message_id)
                yield site, _own(site, answer_of(message))
            if waiting and time.monotonic() > look:
                end += self._await_server()
                for message_id, reason in self._gone(waiting, started).items():
                    yield (
                        (site := waiting.pop(message_id)),
                        Refusal(site=site, code=ExitCode.FEDERATION, reason=reason),
                    )
                look = time.monotonic() + PRESENCE_SECONDS
            if waiting and not replies:
                self._stop.wait(poll)
                poll = min(1.1 * poll, LONGEST_POLL)

    def _await_server(self) -> float:
        """Wait while the server is away, and then for the sites to find it again; returns the seconds it took."""
        started = time.monotonic()
        if self._serving():
            return 0.0
        while not self._serving():
            if time.monotonic() > started + SERVER_SECONDS:
                raise FederationError(
                    f"The server has been away for {SERVER_SECONDS:.0f} s: start it with `fedgen-server start`, then "
                    f"{hints().again}."
                )
            self._wait(PRESENCE_SECONDS)
        back = time.monotonic()
        while self._seen - set(self._link.connected()) and time.monotonic() < back + RETURN_SECONDS:
            self._wait(PRESENCE_SECONDS)
        return time.monotonic() - started

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise FederationError(f"The run was stopped: {hints().again}.")

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
        return answer.model_copy(update={"site": site})
    return Refusal(site=site, code=ExitCode.FEDERATION, reason="it answered in the name of another site")
