"""Between a site's two processes: a JSON header and byte strings, over a pipe that nobody else holds.

Nothing is pickled: `multiprocessing.connection.Connection` is used for whole byte strings alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

#: Longest byte string on the pipe: what a message may have at most is checked before.
MAX_PART = 2**31 - 1


@dataclass(frozen=True)
class Frame:
    """One message between the processes.

    Attributes:
        kind: what it is.
        fields: JSON values.
        parts: byte strings.
    """

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[bytes] = ()


def send(pipe: Connection, frame: Frame) -> None:
    """Write a frame.

    Raises:
        OSError: the other process is gone.
    """
    header = {"kind": frame.kind, "fields": dict(frame.fields), "parts": len(frame.parts)}
    pipe.send_bytes(json.dumps(header, allow_nan=False).encode())
    for part in frame.parts:
        pipe.send_bytes(part)


def receive(pipe: Connection) -> Frame:
    """Read a frame; blocks until it has come.

    Raises:
        EOFError, OSError: the other process is gone.
    """
    header = json.loads(pipe.recv_bytes(MAX_PART))
    parts = [pipe.recv_bytes(MAX_PART) for _ in range(header["parts"])]
    return Frame(header["kind"], header["fields"], parts)
