"""The routes of the hospital's page: strangers see nothing, and whoever may only look changes nothing.

Every path is under a folder of random name, to which the cookie belongs: a cookie knows no port, and would otherwise
go to every other program of this machine at which the browser looks.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from fedgen.dashboard.page_look import icon, sheet
from fedgen.errors import ExitCode, FedgenError
from fedgen.web.this_machine import ADDRESS
from fedgen_client.consent import choose_cohort, deny
from fedgen_client.deciding import take_part
from fedgen_client.plain import printable
from fedgen_client.site_page.coordinator_watch import CoordinatorWatch
from fedgen_client.site_page.counting import count
from fedgen_client.site_page.entrance import Entrance, PageSession, TooManyTriesError
from fedgen_client.site_page.site_reader import SiteReader
from fedgen_client.site_page.templating import templates
from fedgen_client.studies import OfferedStudy, Studies

COOKIE = "fedgen-site"
#: Characters of a reason.
LONGEST_REASON = 500
Form = dict[str, str]
Act = Callable[[Form, Request], Response]

_STATUS = {ExitCode.INVALID: 400, ExitCode.REFUSED: 403, ExitCode.DATA: 500, ExitCode.FEDERATION: 502}
_OWN = {"page.css": "text/css", "page.js": "text/javascript"}


class SitePage:
    """The application of one site's page.

    Args:
        reader: of the site's folder.
        watch: of its coordinator.
        door: who may enter.
        port: that is served.
    """

    def __init__(self, reader: SiteReader, watch: CoordinatorWatch, door: Entrance, port: int) -> None:
        self._reader, self._watch, self._door = reader, watch, door
        self._origins = (f"http://{ADDRESS}:{port}", f"http://localhost:{port}")
        self.root = f"/{secrets.token_hex(8)}"

    def app(self) -> Starlette:
        """The application."""
        looks, decides = self._looks, self._decides
        routes = [
            ("/enter", self._enter, "GET"),
            ("/enter", self._entered, "POST"),
            ("/look.css", _sheet, "GET"),
            ("/icon.svg", _icon, "GET"),
            ("/own/{name}", _own, "GET"),
            ("/", looks(self._site), "GET"),
            ("/state.json", looks(self._state), "GET"),
            ("/log", looks(self._log), "GET"),
            ("/study/{sha256}", looks(self._study), "GET"),
            ("/study/{sha256}/approve", decides(self._approve), "POST"),
            ("/study/{sha256}/deny", decides(self._deny), "POST"),
            ("/study/{sha256}/count", looks(self._counted), "GET"),
            ("/study/{sha256}/count", decides(self._count), "POST"),
            ("/ask", decides(self._ask), "POST"),
            ("/leave", self._left, "POST"),
        ]
        return Starlette(
            routes=[Route(self.root + path, act, methods=[method]) for path, act, method in routes],
            exception_handlers={404: _nothing, 405: _nothing},
        )

    # Who may enter.

    def _enter(self, request: Request) -> Response:
        return self._entrance("", 200)

    async def _entered(self, request: Request) -> Response:
        form = await self._own_form(request)
        if form is None:
            return _nothing()
        try:
            cookie = self._door.enter(form.get("token", "").strip())
        except TooManyTriesError as error:
            words = f"Too many wrong tokens: wait {error.seconds} seconds, then try again."
            return self._entrance(words, 429, {"Retry-After": str(error.seconds)})
        if cookie is None:
            return self._entrance("This is not a token of this page: copy the whole of it.", 403)
        reply = RedirectResponse(f"{self.root}/", 303)
        # Not Secure, which plain HTTP of this machine could not have.
        reply.set_cookie(COOKIE, cookie, path=self.root, httponly=True, samesite="strict")
        return reply

    async def _left(self, request: Request) -> Response:
        session, form = self._session(request), await self._own_form(request)
        if session is None or form is None or not _same(form.get("csrf", ""), session.form):
            return _nothing()
        self._door.leave(request.cookies.get(COOKIE))
        reply = RedirectResponse(f"{self.root}/enter", 303)
        reply.delete_cookie(COOKIE, path=self.root, httponly=True, samesite="strict")
        return reply

    def _session(self, request: Request) -> PageSession | None:
        return self._door.session(request.cookies.get(COOKIE))

    async def _own_form(self, request: Request) -> Form | None:
        """What a form of our own pages sent; None where it is none, or does not come from them."""
        if request.headers.get("origin") not in self._origins:
            return None
        try:
            text = (await request.body()).decode("ascii")
            fields = parse_qs(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=16)
        except ValueError:
            return None
        return (
            {name: values[0] for name, values in fields.items()}
            if all(len(values) == 1 for values in fields.values())
            else None
        )

    def _looks(
        self, act: Callable[[Request, PageSession], Response]
    ) -> Callable[[Request], Awaitable[Response]]:
        """For whoever has a cookie."""

        async def answer(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                return _nothing()
            return await run_in_threadpool(self._safely, lambda: act(request, session), session)

        return answer

    def _decides(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        """For whoever may decide, with a form of our own: anybody else changes nothing, whatever the route does."""

        async def answer(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                return _nothing()
            form = await self._own_form(request)
            if form is None or not _same(form.get("csrf", ""), session.form):
                return self._refused(
                    session, "This form is not of this page: load it anew, and decide again.", 403
                )
            if session.role != "decides":
                return self._refused(session, "This link is for looking: nothing can be decided by it.", 403)
            return await run_in_threadpool(self._safely, lambda: act(form, request), session)

        return answer

    def _safely(self, act: Callable[[], Response], session: PageSession) -> Response:
        try:
            return act()
        except FedgenError as error:
            return self._refused(session, str(error), _STATUS.get(error.exit_code, 400))

    # What is shown.

    def _site(self, request: Request, session: PageSession) -> Response:
        return self._page("site.html", session, shown=self._reader.site())

    def _state(self, request: Request, session: PageSession) -> Response:
        return JSONResponse(self._reader.site().model_dump(mode="json"))

    def _log(self, request: Request, session: PageSession) -> Response:
        before = request.query_params.get("before", "")
        number = int(before) if before.isdecimal() and len(before) < 12 else None
        return self._page("passed.html", session, log=self._reader.log(before=number))

    def _study(self, request: Request, session: PageSession) -> Response:
        return self._shown_study(request, session, request.query_params.get("cohort"), ())

    def _shown_study(
        self, request: Request, session: PageSession, cohort: str | None, lines: tuple[Any, ...]
    ) -> Response:
        shown = self._reader.study(str(request.path_params["sha256"]), cohort)
        if shown is None:
            return _nothing()
        return self._page("study.html", session, shown=shown, lines=lines)

    # What is decided.

    def _approve(self, form: Form, request: Request) -> Response:
        offered = self._read(form, request)
        if isinstance(offered, Response):
            return offered
        site_file = self._reader.folder.load_site_file()
        take_part(
            self._reader.folder, site_file, offered, choose_cohort(site_file, form.get("cohort") or None)
        )
        return self._back(offered.study_sha256)

    def _deny(self, form: Form, request: Request) -> Response:
        offered = self._read(form, request)
        if isinstance(offered, Response):
            return offered
        reason = printable(form.get("reason", "").strip(), LONGEST_REASON)
        deny(self._reader.folder, offered, reason or None)
        return self._back(offered.study_sha256)

    def _read(self, form: Form, request: Request) -> OfferedStudy | Response:
        """The very manifest that the person read, or why it is not there any more."""
        offered = Studies(self._reader.folder).get(str(request.path_params["sha256"]))
        if offered is None:
            return _nothing()
        if not _same(form.get("manifest", ""), offered.manifest_sha256):
            session = self._session(request)
            words = (
                f"The manifest of {offered.name} has changed since you read it: read it again, then decide."
            )
            return _nothing() if session is None else self._refused(session, words, 409)
        return offered

    def _count(self, form: Form, request: Request) -> Response:
        session, offered = self._session(request), self._read(form, request)
        if isinstance(offered, Response) or session is None:
            return offered if isinstance(offered, Response) else _nothing()
        cohort = choose_cohort(self._reader.folder.load_site_file(), form.get("cohort") or None)
        return self._shown_study(request, session, cohort, count(self._reader.folder, offered, cohort))

    def _counted(self, request: Request, session: PageSession) -> Response:
        # The address that stands above what was counted, where it is typed or kept: there is the study's own page.
        return self._back(str(request.path_params["sha256"]))

    def _ask(self, form: Form, request: Request) -> Response:
        self._watch.now()
        return RedirectResponse(f"{self.root}/", 303)

    def _back(self, sha256: str) -> Response:
        return RedirectResponse(f"{self.root}/study/{quote(sha256)}", 303)

    # Pages.

    def _page(self, name: str, session: PageSession, status: int = 200, **values: Any) -> Response:
        text = (
            templates()
            .get_template(name)
            .render(root=self.root, may=session.role == "decides", csrf=session.form, **values)
        )
        return HTMLResponse(text, status)

    def _refused(self, session: PageSession, words: str, status: int) -> Response:
        return self._page("refused.html", session, status, words=printable(words))

    def _entrance(self, words: str, status: int, headers: dict[str, str] | None = None) -> Response:
        text = templates().get_template("enter.html").render(root=self.root, words=words)
        return HTMLResponse(text, status, headers)


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(), known.encode())


def _nothing(request: Request | None = None, error: Exception | None = None) -> Response:
    """For strangers, whatever they ask for."""
    return PlainTextResponse("There is nothing here. Use the link that `fedgen-client page` printed.\n", 404)


def _sheet(request: Request) -> Response:
    return Response(sheet(), media_type="text/css")


def _icon(request: Request) -> Response:
    return Response(icon(), media_type="image/svg+xml")


def _own(request: Request) -> Response:
    name = str(request.path_params["name"])
    if name not in _OWN:
        return _nothing()
    content = files("fedgen_client.site_page").joinpath("templates", name).read_bytes()
    return Response(content, media_type=_OWN[name])
