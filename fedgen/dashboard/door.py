"""The way in: a token is exchanged for a cookie by POST, and whoever has neither finds nothing.

A link carries the token behind `#`, which a browser keeps to itself: it is in no request and in no log. The entry page
reads it there, sends it once in a body, and takes it out of the address. Every answer to a stranger is 404, the entry
page too.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from fedgen.dashboard.access import Keys, Pass, bearer, cookie, form_secret, holder, is_form_secret
from fedgen.dashboard.failures import Failures
from fedgen.dashboard.page_look import environment, sheet
from fedgen.errors import ExitCode

#: Told what was done by whom: `signed in`, `refused`, with the pass' id or the address.
Note = Callable[[str, str], None]

#: Bytes of a form, at most.
LONGEST = 4096


class Door:
    """Who is who.

    Args:
        keys: of the passes.
        root: path of the page, without a last slash.
        name: of the cookie.
        secure: whether the page is served over TLS, and the cookie may go over nothing else.
        note: told of sign-ins and refusals.
    """

    def __init__(self, keys: Keys, root: str, name: str, secure: bool, note: Note) -> None:
        # A cookie is not kept apart by port; `__Host-` keeps other hosts of the domain from setting it.
        self.keys, self.root, self.secure = keys, root, secure
        self._name = f"__Host-{name}" if secure else name
        self._note, self._failures = note, Failures()

    def who(self, request: Request) -> Pass | None:
        """The pass of a request's cookie."""
        return bearer(self.keys.keyring(), request.cookies.get(self._name, ""), datetime.now(UTC))

    def machine(self, request: Request) -> Pass | None:
        """The pass of a program: of the cookie, or of a token in the header Authorization."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return self.who(request)
        if self._failures.too_many(_address(request)) > 0:
            return None
        found = holder(self.keys.keyring(), token.strip(), datetime.now(UTC))
        if found is None:
            self._refuse(request)
        return found

    def secret(self, request: Request) -> str:
        """What the forms of this cookie's pages say."""
        return form_secret(self.keys.keyring(), request.cookies.get(self._name, ""))

    async def form(self, request: Request) -> dict[str, str] | None:
        """The fields of a form that a page of this cookie sent; None for anything else."""
        fields = await self._fields(request)
        if fields is None or not self._from_here(request):
            return None
        value = request.cookies.get(self._name, "")
        return fields if is_form_secret(self.keys.keyring(), value, fields.get("csrf", "")) else None

    async def enter(self, request: Request) -> Response:
        """Exchange a token for a cookie."""
        wait = self._failures.too_many(_address(request))
        if wait > 0:
            return self.entry(
                429, f"Too many attempts: wait {wait:.0f} s.", {"Retry-After": f"{wait + 1:.0f}"}
            )
        fields = await self._fields(request)
        token = "" if fields is None or not self._from_here(request) else fields.get("token", "").strip()
        keys, now = self.keys.keyring(), datetime.now(UTC)
        found = holder(keys, token, now)
        if found is None:
            self._refuse(request)
            return self.entry(404, "This token opens nothing, or no longer: ask for a new link.")
        self._note("signed in", found.id)
        value, seconds = cookie(keys, found, now)
        answer = RedirectResponse(self.root, 303)
        answer.set_cookie(
            self._name, value, max_age=seconds, path="/", secure=self.secure, httponly=True, samesite="strict"
        )
        return answer

    def leave(self) -> Response:
        """Take the cookie away."""
        answer = RedirectResponse(self.root, 303)
        answer.delete_cookie(self._name, path="/", secure=self.secure, httponly=True, samesite="strict")
        return answer

    def entry(self, status: int = 404, said: str = "", headers: dict[str, str] | None = None) -> Response:
        """The page that takes a token."""
        text = (
            environment()
            .get_template("enter.html")
            .render(root=self.root, said=said, script=_script(), sheet=sheet())
        )
        policy = (
            f"default-src 'none'; style-src {_source(sheet())}; script-src {_source(_script())}; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(text, status, {"Content-Security-Policy": policy, **(headers or {})})

    def _refuse(self, request: Request) -> None:
        self._failures.note(_address(request))
        self._note("refused", _address(request))

    def _from_here(self, request: Request) -> bool:
        """Whether a page of ours sent a request; every browser says where a POST comes from."""
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "same-origin")
        return (origin is None or urlsplit(origin).netloc == request.headers.get("host")) and (
            site == "same-origin"
        )

    async def _fields(self, request: Request) -> dict[str, str] | None:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST:
                return None
        try:
            found = parse_qs(body.decode("ascii"), max_num_fields=8, keep_blank_values=True)
        except ValueError:
            return None
        return {name: values[0] for name, values in found.items() if len(values) == 1}


def nothing(path: str) -> Response:
    """What a stranger is told of any path, as of one that does not exist."""
    said = f"There is nothing at {path[:200]!r}: check the address."
    return JSONResponse({"error": said, "code": int(ExitCode.FEDERATION)}, 404)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


@cache
def _script() -> str:
    return files("fedgen.dashboard").joinpath("templates", "enter.js").read_text("utf-8")


@cache
def _source(text: str) -> str:
    """A text that a policy allows by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
