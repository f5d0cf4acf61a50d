"""A coordinator's run over its own SuperLink: Flower's grid, on the database that the SuperLink serves from.

Private names used: `HttpGrid` and the inflatable objects, which make messages into parts and back; the handlers
behind the Runtime API; and the link state, in which the run is made and its task claimed at once, so that nobody else
can. Flower would have a bundle uploaded, a process started to execute it, and that process speak HTTP to the Runtime
API. Here the process is there already, on the coordinator's own machine, and calls the same handlers on the same
database: an exchange costs half the requests, and the Runtime API need not be served at all.
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
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid.http_grid import HttpGrid
from flwr.superlink.servicer.runtime import runtime_handlers
from sqlalchemy.exc import OperationalError

from fedgen.errors import FederationError
from fedgen.flower.state import open_state
from fedgen.run.hints import hints

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
        self._state = open_state(database)
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
        self._handlers = _Handlers(self._state, task)
        self._grid._client = self._handlers
        # Replies of which some parts have still to come, by their ids.
        self._arriving: dict[str, dict[str, bytes | None]] = {}
        self._announced: set[str] = set()
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
                f"Flower took {sum(map(bool, ids))} of {len(messages)} messages of a round: {hints().again}."
            )
        return ids

    def pull(self, ids: Iterable[str]) -> list[Message]:
        """Replies that have come to these messages."""
        wanted = list(ids)
        return self._try(lambda: self._pull(wanted))

    def _pull(self, wanted: list[str]) -> list[Message]:
        # Not `HttpGrid.pull_messages`: it waits up to two hours for the parts of a reply whose sender died half-way
        # through its upload, and all other sites with it.
        # What is asked for twice after it was announced has an error for its second answer.
        wanted = [message_id for message_id in wanted if message_id not in self._announced]
        if wanted:
            answer = self._handlers.PullMessages(PullAppMessagesRequest(message_ids=wanted))
            for message, tree in zip(answer.messages_list, answer.message_object_trees, strict=True):
                ids = [part.object_id for part in iterate_object_tree(tree)]
                self._arriving[message.metadata.message_id] = dict.fromkeys(ids)
                self._announced.add(message.metadata.reply_to_message_id)
        return [
            self._inflated(message_id) for message_id in list(self._arriving) if self._complete(message_id)
        ]

    def _complete(self, message_id: str) -> bool:
        parts = self._arriving[message_id]
        for object_id in [name for name, content in parts.items() if content is None]:
            answer = self._handlers.PullObject(
                PullObjectRequest(node=self._grid.node, run_id=self.run_id, object_id=object_id)
            )
            if not answer.object_found:
                # The upload was given up; whoever waits for it finds its sender gone, or its deadline over.
                del self._arriving[message_id]
                return False
            if not answer.object_available:
                return False
            parts[object_id] = answer.object_content
        return True

    def _inflated(self, message_id: str) -> Message:
        parts = self._arriving.pop(message_id)
        message = inflate_object_from_contents(
            message_id, {name: content for name, content in parts.items() if content is not None}
        )
        message.metadata.__dict__["_message_id"] = message_id
        self._handlers.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(
                node=self._grid.node, run_id=self.run_id, message_object_id=message_id
            )
        )
        return message

    def close(self, done: bool) -> None:
        """End the run at the SuperLink, so that no node works for it any more."""
        if self._ended.is_set():
            return
        self._ended.set()
        # An interrupt may have left a transaction of this very process open; Flower forgets a silent run by itself.
        with contextlib.suppress(OperationalError):
            self._state.finish_task(self._task_id, SubStatus.COMPLETED if done else SubStatus.STOPPED, "")
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
                raise FederationError(f"The run was stopped: {hints().again}.")
            if self._lost.is_set():
                raise LinkLostError(
                    f"Flower has given this run up, because it was silent for a minute: {hints().again}."
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
