"""fedgen's messages as Flower's: the ClientApp, the ServerApp, and the exchange over a grid.

The ClientApp built here is the one a hospital runs and the one `fedgen simulate` runs; only the transport
differs (docs/decisions/002). Nothing but public Flower modules is imported; those that are not public belong to
`fedgen.flower`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

# Before anything of Flower's is imported: no telemetry, no update check.
from fedgen.flower import Trouble  # isort: skip
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedgen.errors import ExitCode, FederationError, FedgenError
from fedgen.federation.exchange.contract import Answering
from fedgen.protocol.messages import Answer, Refusal, Task
from fedgen.protocol.parts import Vector
from fedgen.protocol.wire import decode_answer, decode_task, encode_answer, encode_task
from fedgen.run.hints import hints

POLL_SECONDS = 0.05
ACTION = "fedgen"


def client_app(
    site_of: Callable[[Context], Answering], unread: Callable[[str], None] = lambda reason: None
) -> ClientApp:
    """The ClientApp: decodes a task, lets the site answer it, encodes the answer.

    Args:
        site_of: the site behind a Flower context.
        unread: told why a message could not be read.
    """

    def answer(message: Message, context: Context) -> Message:
        try:
            try:
                task = decode_task(*unpack(message.content))
            except FederationError as error:
                # About the coordinator's own message, so it may be told.
                unread(str(error))
                content = _refusal(error.exit_code, str(error))
            else:
                content = pack(*encode_answer(site_of(context).answer(task)))
        except FedgenError as error:
            content = _refusal(error.exit_code, type(error).__name__)
        except Exception as error:
            # Flower would send the exception's text to the coordinator, and that may quote patient data.
            content = _refusal(ExitCode.FEDERATION, f"unexpected {type(error).__name__}")
        return Message(content, reply_to=message)

    app = ClientApp()
    app.query(ACTION)(answer)
    return app


def server_app(
    main: Callable[[FlowerExchange], None], nodes: int, deadline: float, stop: threading.Event
) -> ServerApp:
    """The ServerApp: waits for `nodes` nodes, then runs `main` over them; setting `stop` ends its waits.

    Raises (inside the app):
        FederationError: fewer nodes than asked for came within `deadline` seconds.
    """

    def run(grid: Grid, context: Context) -> None:
        del context
        main(FlowerExchange(grid, wait_for_nodes(grid, nodes, deadline), stop))

    app = ServerApp()
    app.main()(run)
    return app


def wait_for_nodes(grid: Grid, nodes: int, deadline: float) -> list[int]:
    """Ids of all connected nodes once there are `nodes` of them.

    Raises:
        FederationError: the deadline passed.
    """
    end = time.monotonic() + deadline
    while True:
        found = sorted(grid.get_node_ids())
        if len(found) >= nodes:
            return found
        if time.monotonic() > end:
            raise FederationError(
                f"{len(found)} of {nodes} sites connected within {deadline:g} s: {hints().again}."
            )
        time.sleep(POLL_SECONDS)


class FlowerExchange:
    """Tasks and answers over a Flower grid; sites are known by name, never by node id."""

    def __init__(self, grid: Grid, nodes: Sequence[int], stop: threading.Event) -> None:
        self._grid = grid
        self._stop = stop
        self._nodes = {str(node): node for node in nodes}
        self._named = False

    def sites(self) -> Sequence[str]:
        """Names of sites; before their first answer, their node ids."""
        return sorted(self._nodes)

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        """Push all tasks, then pull and yield answers until all came or `deadline` seconds passed."""
        messages = [task_message(self._nodes[site], task, deadline) for site, task in tasks.items()]
        ids = list(self._grid.push_messages(messages))
        if len(ids) != len(messages):
            # Flower logs what it could not push and goes on with fewer ids.
            raise FederationError(
                f"Flower took {len(ids)} of {len(messages)} messages of a round: see its log, then "
                f"{hints().again}."
            )
        waiting = dict(zip(ids, tasks, strict=True))
        end = time.monotonic() + deadline
        while waiting and time.monotonic() < end:
            if self._stop.is_set():
                raise FederationError(f"The run was stopped: {hints().again}.")
            for message in self._grid.pull_messages(list(waiting)):
                asked = waiting.pop(message.metadata.reply_to_message_id)
                answer = answer_of(message)
                yield self._name(asked, answer), answer
            if waiting:
                time.sleep(POLL_SECONDS)
        self._named = True

    def _name(self, asked: str, answer: Answer) -> str:
        # The first exchange tells which site is behind which node; from then on a node cannot rename itself.
        if not self._named and answer.site != "unknown":
            if answer.site in self._nodes:
                raise FederationError(
                    f"Two nodes call themselves {answer.site}: every site needs its own name."
                )
            self._nodes[answer.site] = self._nodes.pop(asked)
            return answer.site
        return asked


def task_message(node: int, task: Task, deadline: float) -> Message:
    """A task as a message to a node; nobody keeps it for longer than `deadline` seconds."""
    return Message(pack(*encode_task(task)), dst_node_id=node, message_type=f"query.{ACTION}", ttl=deadline)


def answer_of(message: Message) -> Answer:
    """The answer in a reply; what is none becomes a refusal that says why."""
    if message.has_error():
        # Any other text may be an exception's, and quote what it was about.
        known = [trouble.value for trouble in Trouble if trouble.value == message.error.reason]
        told = f"Flower error {message.error.code}"
        return Refusal(site="unknown", code=ExitCode.FEDERATION, reason=": ".join([told, *known]))
    try:
        return decode_answer(*unpack(message.content))
    except FederationError as error:
        return Refusal(site="unknown", code=error.exit_code, reason=str(error))


def _refusal(code: ExitCode, reason: str) -> RecordDict:
    return pack(*encode_answer(Refusal(site="unknown", code=code, reason=reason)))


def pack(text: str, vector: Vector | None) -> RecordDict:
    """A message of `fedgen.protocol.wire` as Flower's content."""
    # An empty record would travel as an object of its own, and each object is a request.
    content = RecordDict({"message": ConfigRecord({"json": text})})
    if vector is not None:
        content["arrays"] = ArrayRecord({"vector": Array(np.ascontiguousarray(vector))})
    return content


def unpack(content: RecordDict) -> tuple[str, Vector | None]:
    """A message of `fedgen.protocol.wire` from Flower's content.

    Raises:
        FederationError: it is none.
    """
    try:
        text = content.config_records["message"]["json"]
        arrays: Any = content.array_records.get("arrays", {})
        vector = arrays["vector"].numpy() if "vector" in arrays else None
    except (KeyError, ValueError, TypeError):
        raise FederationError("A message has not the form of this version of fedgen.") from None
    if not isinstance(text, str):
        raise FederationError("A message has not the form of this version of fedgen.")
    return text, vector
