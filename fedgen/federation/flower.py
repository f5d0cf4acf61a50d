"""The one place in the workshop that knows Flower: ClientApp, ServerApp and the simulation engine.

The ClientApp built here is the one a hospital runs and the one `fedgen simulate` runs; only the transport
differs (docs/decisions/002). Nothing but public Flower modules is imported.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

# Flower and Ray read these when they are imported.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Nobody but `ray_engine` may start Ray, least of all a thread that outlives it.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

import ray
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from fedgen.errors import ExitCode, FederationError, FedgenError
from fedgen.federation.site import Site
from fedgen.protocol.messages import Answer, Refusal, Task
from fedgen.protocol.wire import Vector, decode_answer, decode_task, encode_answer, encode_task

__all__ = [
    "Context",
    "FlowerExchange",
    "client_app",
    "in_main_thread",
    "ray_engine",
    "run_simulation",
    "server_app",
    "wait_for_nodes",
]

POLL_SECONDS = 0.05
ACTION = "fedgen"


@contextlib.contextmanager
def ray_engine(cores: int) -> Iterator[None]:
    """Ray for `run_simulation`, stopped after it.

    Flower would start it but never stop it, and Ray keeps SIGTERM for itself: then a run that the system stops would
    end with Ray's crash report instead of its own status.
    """
    before = signal.getsignal(signal.SIGTERM)
    ray.init(num_cpus=cores, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    if in_main_thread():
        signal.signal(signal.SIGTERM, before)
    try:
        yield
        # Only here: where the block is left by an interrupt, threads of Flower still hold on to Ray and would wait for
        # ever without it; it then ends with the process.
        ray.shutdown()
    finally:
        if in_main_thread():
            signal.signal(signal.SIGTERM, before)


def in_main_thread() -> bool:
    """Whether this is the thread that may set signal handlers."""
    return threading.current_thread() is threading.main_thread()


def client_app(site_of: Callable[[Context], Site]) -> ClientApp:
    """The ClientApp: decodes a task, lets the site answer it, encodes the answer.

    Args:
        site_of: the site behind a Flower context.
    """

    def answer(message: Message, context: Context) -> Message:
        try:
            site = site_of(context)
            content = _pack(*encode_answer(site.answer(decode_task(*_unpack(message.content)))))
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
                f"{len(found)} of {nodes} sites connected within {deadline:g} s: start the others and try again."
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
        messages = [self._message(self._nodes[site], task, deadline) for site, task in tasks.items()]
        ids = list(self._grid.push_messages(messages))
        if len(ids) != len(messages):
            # Flower logs what it could not push and goes on with fewer ids.
            raise FederationError(
                f"Flower took {len(ids)} of {len(messages)} messages of a round: see its log, then continue "
                "with --resume."
            )
        waiting = dict(zip(ids, tasks, strict=True))
        end = time.monotonic() + deadline
        while waiting and time.monotonic() < end:
            if self._stop.is_set():
                raise FederationError("The run was stopped: continue it with --resume.")
            for message in self._grid.pull_messages(list(waiting)):
                asked = waiting.pop(message.metadata.reply_to_message_id)
                answer = self._answer(message)
                yield self._name(asked, answer), answer
            if waiting:
                time.sleep(POLL_SECONDS)
        self._named = True

    def _message(self, node: int, task: Task, deadline: float) -> Message:
        content = _pack(*encode_task(task))
        return Message(content, dst_node_id=node, message_type=f"query.{ACTION}", ttl=deadline)

    def _answer(self, message: Message) -> Answer:
        if message.has_error():
            return Refusal("unknown", ExitCode.FEDERATION, f"Flower error {message.error.code}")
        try:
            return decode_answer(*_unpack(message.content))
        except FederationError as error:
            return Refusal("unknown", error.exit_code, str(error))

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


def _refusal(code: ExitCode, reason: str) -> RecordDict:
    return _pack(*encode_answer(Refusal("unknown", code, reason)))


def _pack(text: str, vector: Vector | None) -> RecordDict:
    arrays = {} if vector is None else {"vector": Array(np.ascontiguousarray(vector))}
    return RecordDict({"message": ConfigRecord({"json": text}), "arrays": ArrayRecord(arrays)})


def _unpack(content: RecordDict) -> tuple[str, Vector | None]:
    try:
        text = content.config_records["message"]["json"]
        arrays: Any = content.array_records["arrays"]
        vector = arrays["vector"].numpy() if "vector" in arrays else None
    except (KeyError, ValueError, TypeError):
        raise FederationError("A message has not the form of this version of fedgen.") from None
    if not isinstance(text, str):
        raise FederationError("A message has not the form of this version of fedgen.")
    return text, vector
