"""The way in to every page of ours: a token is exchanged for a cookie by POST, and whoever has neither finds nothing.

A link carries the token behind `#`, which a browser keeps to itself: it is in no request and in no log. The entry page
reads it there, sends it once in a body, and takes it out of the address.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from fedgen.dashboard.access import (
    SESSION,
    Keys,
    Pass,
    bearer,
    cookie,
    form_secret,
    holder,
    is_form_secret,
)
from fedgen.dashboard.failures import Failures
from fedgen.dashboard.page_look import environment, sheet
from fedgen.errors import ExitCode

#: Told what was done by whom: `signed in`, `refused`, with the pass' id or the address.
Note = Callable[[str, str], None]

#: Bytes and fields of a form, at most; and cookies that were given back, kept until they would have ended.
LONGEST, FIELDS, MOST_LEFT = 8192, 16, 4096


@dataclass(frozen=True)
class Doorway:
    """Where a page is, and what strangers are told there.

    Attributes:
        root: path of the page, without a last slash.
        cookie: its name.
        secure: whether the page is served over TLS, and the cookie may go over nothing else.
        secret: whether `root` is of a random name. Then the cookie belongs to it, and no other program of this machine
            at which the browser looks is sent it; and the entry page, beneath it, need not pretend to be nothing.
        session: a browser signs in anew after this.
        brand, lead, wrong: of the entry page; what the page is, how to enter, and what is said of a wrong token.
    """

    root: str
    cookie: str
    secure: bool
    secret: bool = False
    session: timedelta = SESSION
    brand: str = "fedgen"
    lead: str = (
        "This page opens with a link. Use the one you were given, or paste its last part, behind the #."
    )
    wrong: str = "This token opens nothing, or no longer: ask for a new link."

    @property
    def first(self) -> str:
        """Path of the first page."""
        return f"{self.root}/" if self.secret else self.root

    @property
    def entrance(self) -> str:
        """Path of the entry page, to which a link leads."""
        return f"{self.root}/enter" if self.secret else self.root


class Door:
    """Who is who.

    Args:
        keys: of the passes.
        way: where it is.
        note: told of sign-ins and refusals.
        failures: of late.
        now: the time, UTC.
    """

    def __init__(
        self,
        keys: Keys,
        way: Doorway,
        note: Note = lambda what, who: None,
        failures: Failures | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.keys, self.way = keys, way
        # A cookie is not kept apart by port; `__Host-` keeps other hosts of the domain from setting it.
        self._name = f"__Host-{way.cookie}" if way.secure else way.cookie
        self._path = way.root if way.secret else "/"
        self._note, self._now = note, now
        self._failures = Failures() if failures is None else failures
        self._left: OrderedDict[str, None] = OrderedDict()

    def who(self, request: Request) -> Pass | None:
        """The pass of a request's cookie."""
        value = self._value(request)
        if _digest(value) in self._left:
            return None
        return bearer(self.keys.keyring(), value, self._now())

    def machine(self, request: Request) -> Pass | None:
        """The pass of a program: of the cookie, or of a token in the header Authorization."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return self.who(request)
        if self._failures.too_many(_address(request)) > 0:
            return None
        found = holder(self.keys.keyring(), token.strip(), self._now())
        if found is None:
            self._refuse(request)
        return found

    def secret(self, request: Request) -> str:
        """What the forms of this cookie's pages say."""
        return form_secret(self.keys.keyring(), self._value(request))

    async def form(self, request: Request) -> dict[str, str] | None:
        """The fields of a form that a page of this cookie sent; None for anything else."""
        fields = await self._fields(request)
        if fields is None or not self._from_here(request):
            return None
        given = fields.get("csrf", "")
        return fields if is_form_secret(self.keys.keyring(), self._value(request), given) else None

    async def enter(self, request: Request) -> Response:
        """Exchange a token for a cookie."""
        wait = self._failures.too_many(_address(request))
        if wait > 0:
            seconds = math.ceil(wait)
            said = f"Too many wrong tokens of late: wait {seconds} seconds, then try again."
            return self.entry(429, said, {"Retry-After": str(seconds)})
        fields = await self._fields(request)
        token = "" if fields is None or not self._from_here(request) else fields.get("token", "").strip()
        keys, now = self.keys.keyring(), self._now()
        found = holder(keys, token, now)
        if found is None:
            self._refuse(request)
            return self.entry(403 if self.way.secret else 404, self.way.wrong)
        self._note("signed in", found.id)
        value, seconds = cookie(keys, found, now, self.way.session)
        answer = RedirectResponse(self.way.first, 303)
        answer.set_cookie(
            self._name,
            value,
            # A page of this machine ends with its program, and its cookie with the browser.
            max_age=seconds if self.way.secure else None,
            path=self._path,
            secure=self.way.secure,
            httponly=True,
            samesite="strict",
        )
        return answer

    def leave(self, request: Request) -> Response:
        """Take the cookie away, so that a copy of it opens nothing as long as this process lives."""
        self._left[_digest(self._value(request))] = None
        while len(self._left) > MOST_LEFT:
            self._left.popitem(last=False)
        answer = RedirectResponse(self.way.entrance, 303)
        answer.delete_cookie(
            self._name, path=self._path, secure=self.way.secure, httponly=True, samesite="strict"
        )
        return answer

    def entry(
        self, status: int | None = None, said: str = "", headers: dict[str, str] | None = None
    ) -> Response:
        """The page that takes a token; unless a status is given, the one by which a stranger learns least."""
        page = environment().get_template("enter.html")
        text = page.render(way=self.way, root=self.way.root, said=said, script=_script(), sheet=sheet())
        policy = (
            f"default-src 'none'; style-src {_source(sheet())}; script-src {_source(_script())}; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        usual = 200 if self.way.secret else 404
        return HTMLResponse(text, status or usual, {"Content-Security-Policy": policy, **(headers or {})})

    def _value(self, request: Request) -> str:
        return request.cookies.get(self._name, "")

    def _refuse(self, request: Request) -> None:
        self._failures.note(_address(request))
        self._note("refused", _address(request))

    def _from_here(self, request: Request) -> bool:
        """Whether a page of ours sent a request; every browser says where a POST comes from."""
        origin = urlsplit(request.headers.get("origin", ""))
        here = ("https" if self.way.secure else "http", request.headers.get("host"))
        site = request.headers.get("sec-fetch-site", "same-origin")
        return (origin.scheme, origin.netloc) == here and site == "same-origin"

    async def _fields(self, request: Request) -> dict[str, str] | None:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST:
                return None
        try:
            found = parse_qs(body.decode("ascii"), max_num_fields=FIELDS, keep_blank_values=True)
        except ValueError:
            return None
        if any(len(values) != 1 for values in found.values()):
            return None
        return {name: values[0] for name, values in found.items()}


def nothing(path: str) -> Response:
    """What a stranger is told of any path, as of one that does not exist."""
    said = f"There is nothing at {path[:200]!r}: check the address."
    return JSONResponse({"error": said, "code": int(ExitCode.FEDERATION)}, 404)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _digest(value: str) -> str:
    # Looked up by its hash, so that how long that takes tells nothing of the cookie.
    return hashlib.sha256(value.encode()).hexdigest()


@cache
def _script() -> str:
    return files("fedgen.dashboard").joinpath("templates", "enter.js").read_text("utf-8")


@cache
def _source(text: str) -> str:
    """A text that a policy allows by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
