"""Flower's SecAgg+ in this process: its real client modifier and server workflow, joined by a Grid without network.

`secaggplus_mod` and `SecAggPlusWorkflow` run as Flower ships them, with its defaults (clip 8, 2^22 levels, modulus
2^32, weight cap 1000, every site every other's neighbour, threshold 0.6). Only three things are ours: no message is
serialised, training is replaced by a ready update, and the strategy takes the workflow's mean as it is (FedAvg
would average n copies of it once more, a cost that is not the protocol's). All three favour Flower.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import (
    Code,
    FitIns,
    FitRes,
    Parameters,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.compat.common import recorddict_compat as compat
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import WorkflowState
from flwr.supercore.task_identity import TaskIdentity
from numpy.typing import NDArray

from secagg.meter import Clock, Memory

WEIGHT = 100
THRESHOLD = 0.6

logging.getLogger("flwr").setLevel(logging.ERROR)
# Flower asks who is sending before it makes a message; outside its own runtime nobody has said.
TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1


def peak_bytes(sites: int, length: int) -> int:
    """Memory a round needs at its peak: n int64 uploads held together, and about 45 bytes a parameter beside them.

    The 45 are those of one client masking (measured: 41 bytes a parameter) and the update it starts from.
    """
    return length * (8 * sites + 45)


class _Proxy:
    """A client as the strategy sees it: a node id."""

    def __init__(self, node: int) -> None:
        self.cid = str(node)
        self.node_id = node


class _Manager:
    def __init__(self, sites: int) -> None:
        self.sites = sites

    def num_available(self) -> int:
        return self.sites


class _Strategy(FedAvg):
    """Samples every site and takes the workflow's mean unchanged."""

    def __init__(self, sites: int) -> None:
        super().__init__()
        self.sites = sites
        self.mean: Parameters | None = None

    def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> Any:
        return [(_Proxy(node + 1), FitIns(parameters, {})) for node in range(self.sites)]

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
        self.mean = results[0][1].parameters
        return None, {}


class _CaughtError(Exception):
    """Ends a stage once its requests are known."""


class _Grid:
    """Hands each message to `answer`, and counts the time spent there so that the server's can be told apart."""

    def __init__(self, answer: Callable[[Message], Message | None]) -> None:
        self.answer = answer
        self.seconds = 0.0

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        started = time.perf_counter()
        replies = [reply for message in messages if (reply := self.answer(message)) is not None]
        self.seconds += time.perf_counter() - started
        return replies


def _size(value: Any) -> int:
    """Bytes of one value of a record; a number counts as eight."""
    if isinstance(value, list):
        return sum(_size(item) for item in value)
    return len(value) if isinstance(value, bytes | str) else 8


def _count(message: Message) -> int:
    """Bytes of the values in a reply's records, without names, types and envelope."""
    return sum(
        _size(value) for record in message.content.config_records.values() for value in record.values()
    )


class Session:
    """One SecAgg+ round of n sites that all hold the same update, its stages callable one by one.

    A site that has masked keeps its upload; `server` may then be measured again and again from the same uploads,
    because every repeat starts from a copy of the state before them.
    """

    def __init__(self, sites: int, vector: NDArray[np.float32]) -> None:
        self.sites = sites
        self.vector = vector
        self.key_seconds: list[float] = []
        self.message_bytes = [0] * sites
        self.memory_client, self.memory_server = Memory(), Memory()
        self._update = ndarrays_to_parameters([vector])
        self._clients = [self._context(node + 1) for node in range(sites)]
        self._uploads: list[Message | None] = [None] * sites
        self._training = 0.0
        # The setup stage shuffles neighbours with the global generator; with a full graph the order changes nothing.
        random.seed(0)
        self._workflow = SecAggPlusWorkflow(num_shares=1.0, reconstruction_threshold=THRESHOLD)
        self._strategy = _Strategy(sites)
        self._server = LegacyContext(
            self._context(0),
            strategy=self._strategy,
            client_manager=_Manager(sites),  # type: ignore[arg-type]
        )
        initial = ndarrays_to_parameters([np.zeros(1, dtype=np.float32)])
        self._server.state.array_records[MAIN_PARAMS_RECORD] = compat.parameters_to_arrayrecord(initial, True)
        self._server.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({Key.CURRENT_ROUND: 1})
        self._agree_keys()

    @staticmethod
    def _context(node: int) -> Context:
        return Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})

    def _train(self, message: Message, _: Context) -> Message:
        """The ready update in place of training; its own time is taken off the client's."""
        started = time.perf_counter()
        result = FitRes(Status(Code.OK, ""), self._update, WEIGHT, {})
        reply = Message(compat.fitres_to_recorddict(result, keep_input=True), reply_to=message)
        self._training += time.perf_counter() - started
        return reply

    def _client(self, message: Message) -> Message:
        node = message.metadata.dst_node_id - 1
        return secaggplus_mod(message, self._clients[node], self._train)

    def _agree_keys(self) -> None:
        """Stages setup and share keys, for every site; leaves the requests for masked vectors in hand."""
        spent = [0.0] * self.sites

        def answer(message: Message) -> Message:
            # One content object goes to every site in the setup stage, and the modifier takes its stage out of it.
            own = copy.deepcopy(message)
            started = time.perf_counter()
            reply = self._client(own)
            site = message.metadata.dst_node_id - 1
            spent[site] += time.perf_counter() - started
            self.message_bytes[site] += _count(reply)
            return reply

        grid, state = _Grid(answer), WorkflowState()
        for stage in (self._workflow.setup_stage, self._workflow.share_keys_stage):
            if not stage(grid, self._server, state):  # type: ignore[arg-type]
                raise RuntimeError("Flower's SecAgg+ did not get through its key stages; see its log.")
        self.key_seconds = spent
        self._state = state
        self._shared = [copy.deepcopy(context.state) for context in self._clients]
        self._requests: list[Message] = []
        with contextlib.suppress(_CaughtError):
            self._workflow.collect_masked_vectors_stage(self, self._server, copy.deepcopy(state))  # type: ignore[arg-type]
        self._requests.sort(key=lambda message: message.metadata.dst_node_id)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Stands in for the Grid once, to learn what the collect stage asks of each site."""
        self._requests = [copy.deepcopy(message) for message in messages]
        raise _CaughtError

    def mask(self, site: int) -> float:
        """Seconds of one site's masked-vector stage, from its state after key sharing, without training."""
        self._clients[site].state = copy.deepcopy(self._shared[site])
        request = copy.deepcopy(self._requests[site])
        self._uploads[site] = None
        self._training = 0.0
        with Clock() as clock, self.memory_client():
            self._uploads[site] = self._client(request)
        return clock.seconds - self._training

    def upload_bytes(self, site: int) -> int:
        """Bytes of one site's masked vector."""
        upload = self._uploads[site]
        if upload is None:
            raise ValueError(f"Site {site} has not masked yet; call mask({site}) first.")
        return _count(upload)

    def server(self, drops: int) -> float:
        """Seconds of collect and unmask at the server without the clients' answers; the last `drops` sites are lost."""
        lost = set(range(self.sites - drops, self.sites))
        after_mask = {site: copy.deepcopy(self._clients[site].state) for site in range(self.sites)}
        state = copy.deepcopy(self._state)
        uploads = _Grid(lambda m: None if m.metadata.dst_node_id - 1 in lost else self._again(m))
        shares = _Grid(self._client)
        with Clock() as clock, self.memory_server():
            done = self._workflow.collect_masked_vectors_stage(uploads, self._server, state)  # type: ignore[arg-type]
            done = done and self._workflow.unmask_stage(shares, self._server, state)  # type: ignore[arg-type]
        for site, content in after_mask.items():
            self._clients[site].state = content
        if not done:
            raise RuntimeError("Flower's SecAgg+ halted before the sum; see its log.")
        return clock.seconds - uploads.seconds - shares.seconds

    def _again(self, message: Message) -> Message:
        """A site's kept upload as a new message; the vector's bytes are shared, not copied."""
        upload = self._uploads[message.metadata.dst_node_id - 1]
        if upload is None:
            raise ValueError("The server was asked for a sum before every survivor had masked.")
        content = RecordDict()
        for records, kept in (
            (content.array_records, upload.content.array_records),
            (content.config_records, upload.content.config_records),
            (content.metric_records, upload.content.metric_records),
        ):
            for name, record in kept.items():
                records[name] = record
        return Message(content, reply_to=message)

    def mean(self) -> NDArray[np.float64]:
        """The last sum's weighted mean."""
        if self._strategy.mean is None:
            raise ValueError("No sum yet; call server first.")
        return parameters_to_ndarrays(self._strategy.mean)[0]
