"""Pages for whoever sits at this machine: a port of the loopback address, and nothing from anywhere else."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fedgen.errors import StudyError
from fedgen.web.safe_headers import SafeHeaders

ADDRESS = "127.0.0.1"
#: Bytes of what a form sends, at most.
LONGEST = 16_384
METHODS = ("GET", "HEAD", "POST")


class ThisMachine:
    """An application that is asked only by pages of its own, in a browser of this machine.

    Args:
        app: what answers the rest.
        port: that is served. Another host's name, by which a page of the web could reach us as if we were its own
            (DNS rebinding), is refused.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = SafeHeaders(app)
        self._hosts = (f"{ADDRESS}:{port}", f"localhost:{port}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it before the application sees it."""
        if scope["type"] != "http":
            return
        refused = self._refused(scope)
        if refused is None:
            await self._app(scope, receive, send)
        else:
            await SafeHeaders(PlainTextResponse(refused[1] + "\n", refused[0]))(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        # A second Host is none that a browser sends, and somebody behind us might read the other one.
        if len(headers.getlist("host")) != 1 or host not in self._hosts:
            return 403, "This page is for this machine alone."
        if scope["method"] not in METHODS:
            return 405, "There is nothing of that kind here."
        if scope["method"] == "POST":
            if origin is not None and origin != f"http://{host}":
                return 403, "An answer comes from the page itself."
            length = headers.get("content-length", "")
            if not length.isdigit() or int(length) > LONGEST:
                return 413, "An answer is short."
        return None


def serve_here(app: Callable[[int], ASGIApp], port: int, tell: Callable[[int], None]) -> None:
    """Serve an application to this machine alone, until the process is interrupted.

    Args:
        app: makes it, given the port; it is put behind `ThisMachine`.
        port: 0 for a free one.
        tell: given the port that is open, when a link to it works.

    Raises:
        StudyError: the port is taken.
    """
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((ADDRESS, port))
        except OSError as error:
            raise StudyError(
                f"Port {port} cannot be opened ({error.strerror}): give another with --port."
            ) from None
        # From here on the link works, though the first answer waits for the server to begin.
        listening.listen()
        taken = int(listening.getsockname()[1])
        server = uvicorn.Server(quiet(ThisMachine(app(taken), taken)))
        tell(taken)
        server.run(sockets=[listening])


def quiet(app: ASGIApp) -> uvicorn.Config:
    """A server without a log, a line of which would hold what only the person at the page should have."""
    return uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, ws="none"
    )
