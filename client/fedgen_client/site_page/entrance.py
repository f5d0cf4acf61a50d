"""Who may look at the page and who may decide: two tokens, exchanged for a cookie, and a limit on wrong ones."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fedgen.dashboard.failures import Failures

#: To look and decide; or to look, as a data protection officer does.
Role = Literal["decides", "looks"]

#: A cookie is good for so long; the token of the link gives another one.
SESSION_SECONDS = 8 * 3600.0
#: Sessions kept; the oldest gives way.
MOST_SESSIONS = 100


#: Everybody here comes from one address.
_HERE = "here"


class TooManyTriesError(Exception):
    """Wrong tokens came too fast; none is looked at, right or wrong, for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = math.ceil(seconds)


@dataclass(frozen=True)
class PageSession:
    """Somebody who showed a token.

    Attributes:
        role: which one.
        form: what every form of this person's pages carries, which no page from elsewhere knows.
    """

    role: Role
    form: str


class Entrance:
    """Exchanges tokens for cookies.

    Args:
        read_only: whether nobody at all may decide here.
        clock: seconds that never go back.
    """

    def __init__(self, read_only: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        roles: tuple[Role, ...] = ("looks",) if read_only else ("decides", "looks")
        self.tokens: dict[Role, str] = {role: secrets.token_urlsafe(24) for role in roles}
        self._sessions: dict[str, tuple[PageSession, float]] = {}
        self._failures = Failures(clock)
        self._key = secrets.token_bytes(32)

    def enter(self, token: str) -> str | None:
        """A cookie for whoever has a token, None for a wrong one.

        Raises:
            TooManyTriesError: there were as many wrong ones of late as `fedgen.dashboard.failures` allows.
        """
        wait = self._failures.too_many(_HERE)
        if wait > 0:
            raise TooManyTriesError(wait)
        # All are compared, so that the time does not tell which one was nearer.
        given = [
            role for role, known in self.tokens.items() if hmac.compare_digest(token.encode(), known.encode())
        ]
        if not given:
            self._failures.note(_HERE)
            return None
        cookie = secrets.token_urlsafe(24)
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[_named(cookie)] = (
            PageSession(given[0], self._form(cookie)),
            self._clock() + SESSION_SECONDS,
        )
        return cookie

    def session(self, cookie: str | None) -> PageSession | None:
        """Whose cookie it is, or None."""
        found = None if cookie is None else self._sessions.get(_named(cookie))
        return None if found is None or self._clock() >= found[1] else found[0]

    def leave(self, cookie: str | None) -> None:
        """Forget a cookie."""
        if cookie is not None:
            self._sessions.pop(_named(cookie), None)

    def _form(self, cookie: str) -> str:
        return hmac.new(self._key, cookie.encode(), hashlib.sha256).hexdigest()


def _named(cookie: str) -> str:
    # Looked up by its hash, so that how long a dictionary takes tells nothing of the cookie.
    return hashlib.sha256(cookie.encode()).hexdigest()
