"""The routes of the hospital's page: strangers see nothing, and whoever may only look changes nothing.

Every path is under a folder of random name, to which the cookie belongs: a cookie knows no port, and would otherwise
go to every other program of this machine at which the browser looks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from fedgen.dashboard.access import Pass
from fedgen.dashboard.door import Door
from fedgen.dashboard.page_look import icon, sheet
from fedgen.errors import ExitCode, FedgenError
from fedgen_client.consent import choose_cohort, deny
from fedgen_client.deciding import take_part
from fedgen_client.plain import printable
from fedgen_client.site_page.coordinator_watch import CoordinatorWatch
from fedgen_client.site_page.counting import count
from fedgen_client.site_page.site_reader import SiteReader
from fedgen_client.site_page.templating import templates
from fedgen_client.studies import OfferedStudy, Studies

#: Characters of a reason.
LONGEST_REASON = 500
Form = dict[str, str]
Look = Callable[[Request, Pass], Response]
Act = Callable[[Form, Request, Pass], Response]

_STATUS = {ExitCode.INVALID: 400, ExitCode.REFUSED: 403, ExitCode.DATA: 500, ExitCode.FEDERATION: 502}
_OWN = {"page.css": "text/css", "page.js": "text/javascript"}


class SitePage:
    """The application of one site's page.

    Args:
        reader: of the site's folder.
        watch: of its coordinator.
        door: who may enter; a pass that may operate decides.
    """

    def __init__(self, reader: SiteReader, watch: CoordinatorWatch, door: Door) -> None:
        self._reader, self._watch, self._door = reader, watch, door
        self.root = door.way.root

    def app(self) -> Starlette:
        """The application."""
        looks, decides = self._looks, self._decides
        routes = [
            ("/enter", self._entry, "GET"),
            ("/enter", self._door.enter, "POST"),
            ("/leave", self._leave, "POST"),
            ("/look.css", looks(_sheet), "GET"),
            ("/icon.svg", looks(_icon), "GET"),
            ("/own/{name}", looks(_own), "GET"),
            ("/", looks(self._site), "GET"),
            ("/state.json", looks(self._state), "GET"),
            ("/log", looks(self._log), "GET"),
            ("/study/{sha256}", looks(self._study), "GET"),
            ("/study/{sha256}/approve", decides(self._approve), "POST"),
            ("/study/{sha256}/deny", decides(self._deny), "POST"),
            ("/study/{sha256}/count", looks(self._counted), "GET"),
            ("/study/{sha256}/count", decides(self._count), "POST"),
            ("/ask", decides(self._ask), "POST"),
        ]
        return Starlette(
            routes=[Route(self.root + path, act, methods=[method]) for path, act, method in routes],
            exception_handlers={404: _nothing, 405: _nothing},
        )

    # Who may enter.

    def _entry(self, request: Request) -> Response:
        return self._door.entry()

    async def _leave(self, request: Request) -> Response:
        if self._door.who(request) is None or await self._door.form(request) is None:
            return _nothing()
        return self._door.leave(request)

    def _looks(self, act: Look) -> Callable[[Request], Awaitable[Response]]:
        """For whoever has a cookie."""

        async def answer(request: Request) -> Response:
            who = self._door.who(request)
            if who is None:
                return _nothing()
            return await run_in_threadpool(self._safely, lambda: act(request, who), request, who)

        return answer

    def _decides(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        """For whoever may decide, with a form of our own: anybody else changes nothing, whatever the route does."""

        async def answer(request: Request) -> Response:
            who = self._door.who(request)
            if who is None:
                return _nothing()
            form = await self._door.form(request)
            if form is None:
                words = "This form is not of this page: load it anew, and decide again."
                return self._refused(request, who, words, 403)
            if who.may != "operate":
                words = "This link is for looking: nothing can be decided by it."
                return self._refused(request, who, words, 403)
            return await run_in_threadpool(self._safely, lambda: act(form, request, who), request, who)

        return answer

    def _safely(self, act: Callable[[], Response], request: Request, who: Pass) -> Response:
        try:
            return act()
        except FedgenError as error:
            return self._refused(request, who, str(error), _STATUS.get(error.exit_code, 400))

    # What is shown.

    def _site(self, request: Request, who: Pass) -> Response:
        return self._page("site.html", request, who, shown=self._reader.site())

    def _state(self, request: Request, who: Pass) -> Response:
        return JSONResponse(self._reader.site().model_dump(mode="json"))

    def _log(self, request: Request, who: Pass) -> Response:
        before = request.query_params.get("before", "")
        number = int(before) if before.isdecimal() and len(before) < 12 else None
        return self._page("passed.html", request, who, log=self._reader.log(before=number))

    def _study(self, request: Request, who: Pass) -> Response:
        return self._shown_study(request, who, request.query_params.get("cohort"), ())

    def _shown_study(
        self, request: Request, who: Pass, cohort: str | None, lines: tuple[Any, ...]
    ) -> Response:
        shown = self._reader.study(str(request.path_params["sha256"]), cohort)
        if shown is None:
            return _nothing()
        return self._page("study.html", request, who, shown=shown, lines=lines)

    # What is decided.

    def _approve(self, form: Form, request: Request, who: Pass) -> Response:
        offered = self._read(form, request, who)
        if isinstance(offered, Response):
            return offered
        site_file = self._reader.folder.load_site_file()
        take_part(
            self._reader.folder, site_file, offered, choose_cohort(site_file, form.get("cohort") or None)
        )
        return self._back(offered.study_sha256)

    def _deny(self, form: Form, request: Request, who: Pass) -> Response:
        offered = self._read(form, request, who)
        if isinstance(offered, Response):
            return offered
        reason = printable(form.get("reason", "").strip(), LONGEST_REASON)
        deny(self._reader.folder, offered, reason or None)
        return self._back(offered.study_sha256)

    def _read(self, form: Form, request: Request, who: Pass) -> OfferedStudy | Response:
        """The very manifest that the person read, or why it is not there any more."""
        offered = Studies(self._reader.folder).get(str(request.path_params["sha256"]))
        if offered is None:
            return _nothing()
        if form.get("manifest", "") != offered.manifest_sha256:
            words = (
                f"The manifest of {offered.name} has changed since you read it: read it again, then decide."
            )
            return self._refused(request, who, words, 409)
        return offered

    def _count(self, form: Form, request: Request, who: Pass) -> Response:
        offered = self._read(form, request, who)
        if isinstance(offered, Response):
            return offered
        cohort = choose_cohort(self._reader.folder.load_site_file(), form.get("cohort") or None)
        return self._shown_study(request, who, cohort, count(self._reader.folder, offered, cohort))

    def _counted(self, request: Request, who: Pass) -> Response:
        # The address that stands above what was counted, where it is typed or kept: there is the study's own page.
        return self._back(str(request.path_params["sha256"]))

    def _ask(self, form: Form, request: Request, who: Pass) -> Response:
        self._watch.now()
        return RedirectResponse(f"{self.root}/", 303)

    def _back(self, sha256: str) -> Response:
        return RedirectResponse(f"{self.root}/study/{quote(sha256)}", 303)

    # Pages.

    def _page(self, name: str, request: Request, who: Pass, status: int = 200, **values: Any) -> Response:
        text = (
            templates()
            .get_template(name)
            .render(root=self.root, may=who.may == "operate", csrf=self._door.secret(request), **values)
        )
        return HTMLResponse(text, status)

    def _refused(self, request: Request, who: Pass, words: str, status: int) -> Response:
        return self._page("refused.html", request, who, status, words=printable(words))


def _nothing(request: Request | None = None, error: Exception | None = None) -> Response:
    """For strangers, whatever they ask for."""
    return PlainTextResponse("There is nothing here. Use the link that `fedgen-client page` printed.\n", 404)


def _sheet(request: Request, who: Pass) -> Response:
    return Response(sheet(), media_type="text/css")


def _icon(request: Request, who: Pass) -> Response:
    return Response(icon(), media_type="image/svg+xml")


def _own(request: Request, who: Pass) -> Response:
    name = str(request.path_params["name"])
    if name not in _OWN:
        return _nothing()
    content = files("fedgen_client.site_page").joinpath("templates", name).read_bytes()
    return Response(content, media_type=_OWN[name])
