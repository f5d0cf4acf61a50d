"""Who may see a page, and who may also stop and resume: tokens, and the cookies that they are exchanged for.

A token is 256 random bits; of it only the SHA-256 is kept, so that whoever reads the file cannot sign in. A cookie says
which token it came from and when it ends, under a MAC: it holds over a restart of the server, and ends with its token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Protocol

from pydantic import Field

from fedgen.schema.section import Section

May = Literal["read", "operate"]
PREFIX = "fgp"
#: A browser signs in anew after this.
SESSION = timedelta(hours=12)
_TOKEN = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")
_COOKIE = re.compile(r"([0-9a-f]{12})\.([0-9]{1,12})\.([0-9a-f]{16})\.([0-9a-f]{64})")

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Pass(Section):
    """A token as it is kept.

    Attributes:
        id: by which people name it.
        secret_sha256: of its secret part.
        may: `read`, or `operate` for stopping and resuming too.
        created, expires: when.
    """

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    secret_sha256: Hex
    may: May
    created: datetime
    expires: datetime


@dataclass(frozen=True)
class Keyring:
    """The passes there are, and the key of their cookies.

    Attributes:
        key: 32 bytes.
        passes: by id.
    """

    key: bytes
    passes: dict[str, Pass]


class Keys(Protocol):
    """Where passes are kept; asked anew with each request, since another process may add or void some."""

    def keyring(self) -> Keyring:
        """Those there are now."""


def issue(may: May, now: datetime, good_for: timedelta) -> tuple[str, Pass]:
    """A new token, and what is kept of it."""
    id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    kept = Pass(id=id, secret_sha256=_hash(secret), may=may, created=now, expires=now + good_for)
    return f"{PREFIX}_{id}_{secret}", kept


def holder(keys: Keyring, token: str, now: datetime) -> Pass | None:
    """The pass of a token; None where it is none, or over."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        return None
    kept = keys.passes.get(found[1])
    # Compared where there is none too: the time says nothing of which ids exist.
    good = hmac.compare_digest(_hash(found[2]), kept.secret_sha256 if kept else "0" * 64)
    return kept if kept is not None and good and now < kept.expires else None


def cookie(keys: Keyring, kept: Pass, now: datetime, session: timedelta = SESSION) -> tuple[str, int]:
    """The value of a new cookie for a pass, unlike any other, and the seconds for which it is good."""
    seconds = int(min(session, kept.expires - now).total_seconds())
    end, own = int(now.timestamp()) + seconds, secrets.token_hex(8)
    return f"{kept.id}.{end}.{own}.{_mac(keys, kept, end, own)}", seconds


def bearer(keys: Keyring, value: str, now: datetime) -> Pass | None:
    """The pass of a cookie; None where it was not made here, is over, or its token is void."""
    found = _COOKIE.fullmatch(value)
    kept = None if found is None else keys.passes.get(found[1])
    if found is None or kept is None:
        return None
    good = hmac.compare_digest(found[4], _mac(keys, kept, int(found[2]), found[3]))
    return kept if good and now.timestamp() < int(found[2]) and now < kept.expires else None


def form_secret(keys: Keyring, value: str) -> str:
    """What a form must say that was sent by a page of this very cookie."""
    return hmac.digest(keys.key, f"form {value}".encode(), "sha256").hex()


def is_form_secret(keys: Keyring, value: str, given: str) -> bool:
    """Whether a form says it."""
    return hmac.compare_digest(form_secret(keys, value).encode(), given.encode())


def _mac(keys: Keyring, kept: Pass, end: int, own: str) -> str:
    # The token's own hash is in it, so that an id that is given again opens nothing of the old one's.
    said = f"cookie {kept.id} {kept.secret_sha256} {end} {own}"
    return hmac.digest(keys.key, said.encode(), "sha256").hex()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class OneProcess:
    """Passes of one process, which end with it."""

    def __init__(self) -> None:
        self._keys = Keyring(secrets.token_bytes(32), {})

    def keyring(self) -> Keyring:
        """Those that were issued."""
        return self._keys

    def issue(self, may: May) -> str:
        """A new token, good for as long as the process goes on."""
        token, kept = issue(may, datetime.now(UTC), timedelta(days=365))
        self._keys.passes[kept.id] = kept
        return token
