"""Who has the link of a reading sees its pages, and nobody else."""

from __future__ import annotations

import hmac

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Guarded:
    """An application behind the token in its paths.

    Args:
        app: whose paths begin with the token.
        token: random, in the link that is printed.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it before the application sees it."""
        given = str(scope["path"]).split("/")[1] if "/" in scope["path"] else ""
        if hmac.compare_digest(given.encode(), self._token.encode()):
            await self._app(scope, receive, send)
        else:
            words = "Use the link that was printed when the reading was started.\n"
            await PlainTextResponse(words, 403)(scope, receive, send)
