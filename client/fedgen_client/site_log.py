"""The site log, a journal of everything that entered, left or was decided: what is written of a message, and read."""

from __future__ import annotations

import hashlib
from typing import Any

from fedgen.run.journal import Entry
from fedgen_client.plain import printable


def fingerprint(content: bytes) -> dict[str, Any]:
    """Fields `bytes` and `sha256` of a message that entered or left."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def sentence(entry: Entry) -> str:
    """An entry as a person reads it: time, event, then its fields.

    >>> sentence({"time": "2026-01-02T03:04:05.678+00:00", "event": "sent", "kind": "describe", "bytes": 812})
    '2026-01-02 03:04:05  sent      kind describe, bytes 812'
    """
    time = str(entry["time"]).replace("T", " ")[:19]
    fields = ", ".join(
        f"{name} {_short(name, value)}"
        for name, value in entry.items()
        if name not in ("time", "event", "chain") and value is not None
    )
    return printable(f"{time}  {entry['event']:<9} {fields}".rstrip())


def _short(name: str, value: object) -> object:
    return value[:12] if isinstance(value, str) and name in ("study", "sha256", "manifest") else value
