"""The stream of a page: server-sent events, each a part of the page that has changed, or new lines of the log."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping

from starlette.concurrency import run_in_threadpool

from fedgen.errors import FedgenError

#: Seconds between two looks, and after which a browser that lost us asks again.
LOOK_SECONDS, RETRY_SECONDS = 1.0, 2.0
#: Looks after which a quiet stream shows that it is alive.
QUIET_LOOKS = 10

#: Parts of the page by their id, as HTML.
Parts = Mapping[str, str]


def frame(event: str, value: object) -> bytes:
    """One event of the stream, its value as JSON, which has no line of its own."""
    return f"event: {event}\ndata: {json.dumps(value)}\n\n".encode()


def changed(parts: Parts, known: dict[str, str]) -> list[bytes]:
    """A frame for each part that is not what was sent last; `known` is brought up to date."""
    frames = []
    for id, html in parts.items():
        digest = hashlib.sha256(html.encode()).hexdigest()
        if known.get(id) != digest:
            known[id] = digest
            frames.append(frame("part", {"id": id, "html": html}))
    return frames


async def frames(
    parts: Callable[[], Parts], good: Callable[[], bool], ending: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """The stream, until the browser goes away, the server ends, or who watches may no longer.

    Args:
        parts: of the page as it is now.
        good: whether its cookie still opens anything.
        ending: whether the server is told to stop.
    """
    known: dict[str, str] = {}
    quiet = 0
    yield f"retry: {round(1000 * RETRY_SECONDS)}\n\n".encode()
    while not ending():
        if not await run_in_threadpool(good):
            yield frame("left", {})
            return
        try:
            found = changed(await run_in_threadpool(parts), known)
        except FedgenError as error:
            found = changed({"problem": _problem(str(error))}, known)
        for each in found:
            yield each
        quiet = 0 if found else quiet + 1
        if quiet >= QUIET_LOOKS:
            quiet = 0
            yield frame("beat", {})
        await asyncio.sleep(LOOK_SECONDS)


def _problem(sentence: str) -> str:
    from markupsafe import escape

    return f'<p class="notice fail"><strong>Cannot be shown.</strong> {escape(sentence)}</p>'
