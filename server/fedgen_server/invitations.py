"""Invitations: one secret for one site, kept as a hash, good for one joining until it expires."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fedgen.errors import PrivacyRefusedError, StudyError
from fedgen.protocol.fields import Hex32, SiteName, UtcTime
from fedgen.protocol.invitation import Invitation
from fedgen.run.lock import held
from fedgen.schema.section import Section
from fedgen_server.storage import read_model, write_model

MAX_HOURS = 24 * 90
ASK_AGAIN = "ask the coordinator for a new token."


class Use(Section):
    """Who redeemed an invitation, and when."""

    identity_key: Hex32
    node_key: str
    time: UtcTime


class Issued(Section):
    """An invitation as the coordinator keeps it: without its secret."""

    site: SiteName
    secret_sha256: Hex32
    created: UtcTime
    expires: UtcTime
    used: Use | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether a site could still join with it."""
        return self.used is None and now < self.expires


class _File(Section):
    invitations: list[Issued]


class Invitations:
    """All invitations of a federation, `invitations.json`.

    Args:
        path, lock: of the file, and of the lock that guards it.
        address: `host:port` at which the sites reach the coordinator.
        ca_sha256: fingerprint of the authority they will pin.
    """

    def __init__(self, path: Path, lock: Path, address: str, ca_sha256: str) -> None:
        self._path = path
        self._lock = lock
        self._address = address
        self._ca_sha256 = ca_sha256

    def issued(self) -> list[Issued]:
        """Those given out, oldest first."""
        return read_model(self._path, _File, _File(invitations=[])).invitations

    def pending(self, now: datetime) -> list[Issued]:
        """Those with which a site could still join."""
        return [one for one in self.issued() if one.is_open(now)]

    def invite(self, site: str, hours: float, now: datetime | None = None) -> Invitation:
        """A new invitation; an earlier one of this site that was not used is void from now on.

        Raises:
            StudyError: the name cannot be one, or the time is not within 90 days.
        """
        now = now or datetime.now(UTC)
        if not 0 < hours <= MAX_HOURS:
            raise StudyError(f"--hours must be above 0 and at most {MAX_HOURS}, but is {hours:g}.")
        try:
            invitation = Invitation(
                address=self._address,
                site=site,
                secret=secrets.token_urlsafe(32),
                ca_sha256=self._ca_sha256,
                expires=now + timedelta(hours=hours),
            )
        except ValueError:
            raise StudyError(
                f"A site cannot be called {site!r}: use 1 to 63 letters, digits, spaces, dots, underscores and "
                "hyphens, beginning with a letter or digit."
            ) from None
        entry = Issued(
            site=site, secret_sha256=_hash(invitation.secret), created=now, expires=invitation.expires
        )
        with held(self._lock):
            kept = [one for one in self.issued() if one.site != site or one.used is not None]
            self._write([*kept, entry])
        return invitation

    def cancel(self, site: str, now: datetime | None = None) -> None:
        """Make a site's invitation void that nobody has used yet; one that was used has made a member.

        Raises:
            StudyError: the site has no invitation that could still be used.
        """
        now = now or datetime.now(UTC)
        with held(self._lock):
            issued = self.issued()
            kept = [one for one in issued if one.site != site or not one.is_open(now)]
            if len(kept) == len(issued):
                waiting = ", ".join(sorted(one.site for one in issued if one.is_open(now))) or "nobody"
                raise StudyError(
                    f"{site} has no invitation that could still be used (invited: {waiting}): a site that has joined "
                    "is taken out with `fedgen-server remove`."
                )
            self._write(kept)

    def withdraw(self, site: str) -> None:
        """Make every invitation of a site void, used ones too."""
        with held(self._lock):
            self._write([one for one in self.issued() if one.site != site])

    def redeem(
        self,
        site: str,
        secret: str,
        identity_key: str,
        node_key: str,
        now: datetime | None = None,
        allowed: Callable[[], None] = lambda: None,
    ) -> None:
        """Use an invitation; again with the same keys is the same use, because an answer can be lost on its way.

        Args:
            site, secret, identity_key, node_key: of the one who joins.
            now: the coordinator's clock.
            allowed: asked before the invitation is used up; raises where the site could not be added anyway.

        Raises:
            PrivacyRefusedError: no invitation has this secret, or it is another site's, or was used with other keys,
                or has expired.
        """
        now = now or datetime.now(UTC)
        with held(self._lock):
            issued = self.issued()
            number = _find(issued, secret)
            if number is None:
                raise PrivacyRefusedError(f"This token is not, or no longer, valid: {ASK_AGAIN}")
            entry = issued[number]
            if entry.site != site:
                raise PrivacyRefusedError(
                    f"This token is for a site of another name than {site}: {ASK_AGAIN}"
                )
            if entry.used is not None:
                if (entry.used.identity_key, entry.used.node_key) == (identity_key, node_key):
                    return
                raise PrivacyRefusedError(f"This token was used already, with other keys: {ASK_AGAIN}")
            if now >= entry.expires:
                raise PrivacyRefusedError(
                    f"This token expired on {entry.expires:%Y-%m-%d at %H:%M} UTC: {ASK_AGAIN}"
                )
            allowed()
            use = Use(identity_key=identity_key, node_key=node_key, time=now)
            issued[number] = entry.model_copy(update={"used": use})
            self._write(issued)

    def _write(self, issued: list[Issued]) -> None:
        write_model(self._path, _File(invitations=issued))


def _find(issued: list[Issued], secret: str) -> int | None:
    """Which invitation has this secret; all are compared, in constant time each."""
    found = _hash(secret)
    matches = [n for n, one in enumerate(issued) if hmac.compare_digest(one.secret_sha256, found)]
    return matches[0] if matches else None


def _hash(secret: str) -> str:
    # The secret has 256 random bits: a slow hash would protect it no better.
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
