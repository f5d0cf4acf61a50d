"""A coordinator's run over its own SuperLink: Flower's grid, on the database that the SuperLink serves from.

Private names used: `HttpGrid`, which makes messages into objects and back; the handlers behind the Runtime API; and the
link state, in which the run is made and its task claimed at once, so that nobody else can. Flower would have a bundle
uploaded, a process started to execute it, and that process speak HTTP to the Runtime API. Here the process is there
already, on the coordinator's own machine, and calls the same handlers on the same database: an exchange costs half the
requests, and the Runtime API need not be served at all.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from flwr.app import Message
from flwr.common.constant import NOOP_FLWR_AID, SUPERLINK_NODE_ID, SubStatus
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid.http_grid import HttpGrid
from flwr.superlink.servicer.runtime import runtime_handlers
from sqlalchemy.exc import OperationalError

from fedgen.errors import FederationError
from fedgen.flower.superlink import link_state

#: Flower forgets a run that is silent for 60 s.
HEARTBEAT_SECONDS = 10.0
#: Seconds for which another process may keep the database to itself.
PATIENCE = 60.0
RETRY_SECONDS = 0.1

T = TypeVar("T")


class LinkLostError(FederationError):
    """The SuperLink no longer knows this run: open another and go on from the last checkpoint."""


class _Handlers:
    """What `HttpGrid` asks of its client, answered by the Runtime API's handlers without HTTP between them."""

    def __init__(self, state: LinkState, task: Any) -> None:
        self._state, self._task = state, task

    def __getattr__(self, method: str) -> Callable[[Any], Any]:
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in method).lstrip("_")
        handler = getattr(runtime_handlers, name)
        return lambda request: handler(request, self._state, self._task)

    def close(self) -> None:
        """Nothing is open."""


class Link:
    """One run of Flower's, and the grid to its nodes.

    Args:
        database: the SuperLink's file, in which the run is made.
        stop: set it to end every wait.
    """

    def __init__(self, database: Path, stop: threading.Event) -> None:
        self._state = link_state(database)
        self._stop = stop
        self._ended = threading.Event()
        self._lost = threading.Event()
        self.run_id = self._state.create_run(
            None, None, None, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP
        )
        (run,) = self._state.get_run_info(run_ids=[self.run_id])
        (task,) = self._state.get_tasks(task_ids=[run.primary_task_id])
        self._task_id = task.task_id
        if self._state.claim_task(self._task_id) is None or not self._state.activate_task(self._task_id):
            raise FederationError("Flower's database let no run be made: see that its disk has space.")
        TaskIdentity.run_id, TaskIdentity.node_id = self.run_id, SUPERLINK_NODE_ID
        TaskIdentity.task_id = self._task_id
        self._grid = HttpGrid(token="not sent")
        self._grid._client = _Handlers(self._state, task)
        self._grid.set_run(run)
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def connected(self) -> dict[int, datetime]:
        """Nodes that are connected now, by id, and since when."""
        nodes = self._try(self._grid.get_nodes)
        return {node.node_id: datetime.fromisoformat(node.last_activated_at) for node in nodes}

    def push(self, messages: Sequence[Message]) -> list[str]:
        """Give messages to their nodes; returns their ids in order.

        Raises:
            FederationError: not all were taken.
        """
        if not messages:
            return []
        ids = list(self._try(lambda: self._grid.push_messages(messages)))
        if len(ids) != len(messages) or not all(ids):
            raise FederationError(
                f"Flower took {sum(map(bool, ids))} of {len(messages)} messages of a round: continue with resume."
            )
        return ids

    def pull(self, ids: Iterable[str]) -> list[Message]:
        """Replies that have come to these messages."""
        wanted = list(ids)
        return list(self._try(lambda: self._grid.pull_messages(wanted)))

    def close(self, done: bool) -> None:
        """End the run at the SuperLink, so that no node works for it any more."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._state.finish_task(self._task_id, SubStatus.COMPLETED if done else SubStatus.STOPPED, "")
        with contextlib.suppress(OperationalError):
            self._state.cleanup_run(self.run_id)
        self._grid.close()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OperationalError):
                if not self._state.acknowledge_task_heartbeat(self._task_id):
                    self._lost.set()

    def _try(self, call: Callable[[], T]) -> T:
        end = time.monotonic() + PATIENCE
        while True:
            if self._stop.is_set():
                raise FederationError("The run was stopped: continue it with resume.")
            if self._lost.is_set():
                raise LinkLostError(
                    "Flower has given this run up, because it was silent for a minute: continue with resume."
                )
            try:
                return call()
            except OperationalError as error:
                if time.monotonic() > end:
                    raise FederationError(
                        f"The coordinator's database has been busy for {PATIENCE:.0f} s: see that its disk has space "
                        "and that no other program holds it."
                    ) from error
            self._stop.wait(RETRY_SECONDS)
