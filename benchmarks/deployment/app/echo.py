"""Stock Flower's side of the comparison: a ClientApp that answers at once, and a ServerApp that times it.

Part of a bundle: it imports nothing of this repository.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

NODE_POLL = 0.1


def answer(message: Message, context: Context) -> Message:
    """What came, back again; the vector is opened and made anew, as an update would be."""
    del context
    content = RecordDict({"config": ConfigRecord({"answer": 1})})
    if "vector" in message.content.array_records:
        vector = message.content.array_records["vector"]["vector"].numpy()
        content["vector"] = ArrayRecord({"vector": Array(vector + 1)})
    return Message(content, reply_to=message)


def main(grid: Grid, context: Context) -> None:
    """Time exchanges with all nodes, and write the seconds of those that every node answered."""
    config = context.run_config
    wanted, timeout = int(config["nodes"]), float(config["timeout"])
    end = time.monotonic() + timeout
    while len(nodes := list(grid.get_node_ids())) < wanted:
        if time.monotonic() > end:
            raise TimeoutError(f"{len(nodes)} of {wanted} nodes came within {timeout:g} s")
        time.sleep(NODE_POLL)
    plan = [
        ("empty", int(config["exchanges"]), 0),
        ("vector", int(config["vector_exchanges"]), int(config["length"])),
    ]
    out = Path(str(config["out"]))
    result: dict[str, list[float]] = {}
    for name, exchanges, length in plan:
        result[name] = [_exchange(grid, nodes, length, timeout) for _ in range(exchanges)]
    part = out.with_suffix(".part")
    part.write_text(json.dumps(result))
    part.rename(out)


def _exchange(grid: Grid, nodes: list[int], length: int, timeout: float) -> float:
    content = RecordDict({"config": ConfigRecord({"question": 1})})
    if length:
        vector = np.random.default_rng().normal(size=length).astype(np.float32)
        content["vector"] = ArrayRecord({"vector": Array(vector)})
    messages = [Message(content, dst_node_id=node, message_type="query", ttl=timeout) for node in nodes]
    started = time.perf_counter()
    replies = list(grid.send_and_receive(messages, timeout=timeout))
    seconds = time.perf_counter() - started
    good = [reply for reply in replies if not reply.has_error()]
    if len(good) < len(nodes):
        raise RuntimeError(f"{len(good)} of {len(nodes)} nodes answered within {timeout:g} s")
    return seconds


client = ClientApp()
client.query()(answer)
server = ServerApp()
server.main()(main)
