"""The federation's page on the port of its sites, behind a door of its own."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from fedgen.dashboard.addresses import METRICS, ROOT
from fedgen.dashboard.door import Door, Doorway
from fedgen.dashboard.live_page import LivePage
from fedgen.web.safe_headers import SafeHeaders
from fedgen_server.folder import Federation
from fedgen_server.sightings import Sightings
from fedgen_server.watched_federation import WatchedFederation


def federation_page(federation: Federation, sightings: Sightings, ending: Callable[[], bool]) -> ASGIApp:
    """The application beneath `ROOT`, and `METRICS`.

    Args:
        federation: whose.
        sightings: of its sites.
        ending: whether the server is told to stop.
    """

    def note(what: str, who: str) -> None:
        federation.log.write("page_entered" if what == "signed in" else "page_refused", by=who)

    # A browser sends a cookie to every port of a host, so that two federations of one machine need two names.
    name = f"fedgen-page-{federation.identity.public_key.hex()[:8]}"
    door = Door(federation.page_passes, Doorway(ROOT, name, secure=True), note)
    return SafeHeaders(LivePage(WatchedFederation(federation, sightings), door, ending).app())


class PageBeside:
    """ASGI middleware: what belongs to the page goes there, the rest on.

    Args:
        app: of the sites.
        page: of people.
    """

    def __init__(self, app: ASGIApp, page: ASGIApp) -> None:
        self._app, self._page = app, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        theirs = scope["type"] == "http" and is_page(scope["path"])
        await (self._page if theirs else self._app)(scope, receive, send)


def is_page(path: str) -> bool:
    """Whether a path is the page's."""
    return path in (ROOT, METRICS) or path.startswith(f"{ROOT}/")
