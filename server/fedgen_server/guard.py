"""What may be reached on the coordinator's port: everything else does not exist, and no body is too long.

Only Flower's Fleet API and our own routes belong on a port that the internet sees. Flower's Control API, which starts
runs, and its Runtime API, which hands out tasks, are not mounted (`fedgen.flower.superlink`); the guard holds should a
version of Flower mount something by itself. It compares whole paths as they were sent, so what an application might
make of another spelling of a path does not matter.
"""

from __future__ import annotations

import re

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedgen.dashboard.addresses import METRICS, ROOT
from fedgen.errors import ExitCode
from fedgen.protocol.enrolment import MAX_REQUEST_BYTES, PREFIX, ErrorReply

_FLEET = re.compile(r"/v1/fleet/[a-z]+(-[a-z]+)*\Z")
_OURS = re.compile(re.escape(PREFIX) + r"(/[a-z0-9]+(-[a-z0-9]+)*)+\Z")
_PAGE = re.compile(rf"{ROOT}(/[a-z0-9]+([.-][a-z0-9]+)*)*\Z")


def is_reachable(method: str, path: str) -> bool:
    """Whether a request is let through to the application.

    >>> is_reachable("POST", "/v1/fleet/pull-messages"), is_reachable("POST", "/v1/control/start-run")
    (True, False)
    """
    if _OURS.match(path) or _PAGE.match(path):
        return method in ("GET", "POST")
    if path == METRICS:
        return method == "GET"
    return method == "POST" and _FLEET.match(path) is not None


class Guard:
    """ASGI middleware: 404 for what is not reachable, 413 for bodies that are too long.

    Args:
        app: the application behind it.
        message_bytes: the longest body of a Fleet request; ours are held to 64 KiB.
    """

    def __init__(self, app: ASGIApp, message_bytes: int) -> None:
        self._app = app
        self._message_bytes = message_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif not (_is_plain(scope) and is_reachable(scope["method"], scope["path"])):
            await _reply(404, f"There is nothing at {scope['path'][:200]!r}: check the address.")(
                scope, receive, send
            )
        else:
            await self._bounded(scope, receive, send)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = not _FLEET.match(scope["path"])
        limit = MAX_REQUEST_BYTES if ours else self._message_bytes
        mend = "use its version of fedgen" if ours else "raise message_bytes in its federation.yaml"
        too_large = _reply(
            413, f"A message has more than the {limit} bytes that this coordinator takes: {mend}."
        )
        announced = [value for name, value in scope["headers"] if name == b"content-length"]
        if any(not re.fullmatch(rb"[0-9]{1,19}", value) for value in announced) or len(set(announced)) > 1:
            await _reply(400, "The header Content-Length is not one number: send the request again.")(
                scope, receive, send
            )
        elif announced and int(announced[0]) > limit:
            await too_large(scope, receive, send)
        else:
            body = _Body(receive, send, limit)
            try:
                await self._app(scope, body.receive, body.send)
            except Exception:
                # The application was cut off in the middle of reading, and says so in its own way.
                if not body.exceeded:
                    raise
            if body.exceeded and not body.answered:
                await too_large(scope, receive, send)


class _Body:
    """Counts a request's bytes while the application reads them, and cuts it off at the limit."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._left = limit
        self.exceeded = False
        self.answered = False

    async def receive(self) -> Message:
        if self.exceeded:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.exceeded = True
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        # What the application says of a body it did not get whole is of no use; an answer under way is finished.
        if self.exceeded and not self.answered:
            return
        self.answered = True
        await self._send(message)


def _is_plain(scope: Scope) -> bool:
    """Whether the path was sent as it reads: no percent-encoding, which the next reader may undo differently."""
    raw = scope.get("raw_path")
    path: str = scope["path"]
    return path.isascii() and "%" not in path and (raw is None or raw.partition(b"?")[0] == path.encode())


def _reply(status: int, sentence: str) -> JSONResponse:
    code = ExitCode.FEDERATION
    return JSONResponse(ErrorReply(error=sentence, code=int(code)).model_dump(), status)
