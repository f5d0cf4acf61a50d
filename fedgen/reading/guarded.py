"""The guard of a reading's pages: this machine, who has the link, and nothing from anywhere else."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Of every answer: nothing is loaded from elsewhere, framed, kept or told on.
SAFE: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
#: Bytes of an answer at most.
LONGEST = 16_384
METHODS = ("GET", "HEAD", "POST")


class Guarded:
    """An application behind the guard.

    Args:
        app: whose paths begin with the token.
        token: random, in the link that is printed.
        port: that is served. Another host's name, by which a page of the web could reach us as if we were its own
            (DNS rebinding), is refused.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it before the application sees it."""
        if scope["type"] != "http":
            return
        refused = self._refused(scope)
        app = self._app if refused is None else PlainTextResponse(refused[1] + "\n", refused[0])

        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE.items():
                    headers[name] = value
            await send(message)

        await app(scope, receive, safely)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:
            return 403, "This page is for this machine alone."
        given = str(scope["path"]).split("/")[1] if "/" in scope["path"] else ""
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return 403, "Use the link that was printed when the reading was started."
        if scope["method"] not in METHODS:
            return 405, "There is nothing of that kind here."
        if scope["method"] == "POST":
            if origin is not None and origin != f"http://{host}":
                return 403, "An answer comes from the page itself."
            length = headers.get("content-length", "")
            if not length.isdigit() or int(length) > LONGEST:
                return 413, "An answer is short."
        return None
