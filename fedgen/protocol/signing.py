"""A site's requests to its coordinator, signed with the site's identity: method, path, time and body at once.

TLS already protects the connection; the signature says which site speaks, also behind a proxy that ends TLS. A
request may be seen again within the window, so signed routes only read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fedgen.errors import PrivacyRefusedError
from fedgen_privacy.secagg import Identity

SITE, TIME, SIGNATURE = "Fedgen-Site", "Fedgen-Time", "Fedgen-Signature"
#: How far the clocks of site and coordinator may be apart.
WINDOW = timedelta(seconds=300)


def sign_request(identity: Identity, method: str, path: str, body: bytes, now: datetime) -> dict[str, str]:
    """The three headers of a request.

    Args:
        identity: the site's.
        method, path: as in the request line, without host and query.
        body: as sent, empty for GET.
        now: the site's clock, with its time zone.
    """
    time = now.astimezone(UTC).isoformat()
    signature = identity.sign(_message(method, path, time, body))
    return {SITE: identity.site, TIME: time, SIGNATURE: signature.hex()}


def verify_request(
    keys: Mapping[str, bytes], headers: Mapping[str, str], method: str, path: str, body: bytes, now: datetime
) -> str:
    """The name of the site that signed a request.

    Args:
        keys: site name to Ed25519 public key.
        headers, method, path, body: of the request; names of headers in any case.
        now: the coordinator's clock, with its time zone.

    Raises:
        PrivacyRefusedError: a header is missing, the site is not known, the signature is not its own for this very
            request, or the site's clock differs by more than 300 s.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in (SITE, TIME, SIGNATURE) if name.lower() not in lower]
    if missing:
        raise PrivacyRefusedError(
            f"The request has no header {missing[0]}, with which a site signs: join the federation first."
        )
    site, time, signature = (lower[name.lower()] for name in (SITE, TIME, SIGNATURE))
    if not _signed(keys.get(site), signature, _message(method, path, time, body)):
        raise PrivacyRefusedError(
            "The request is not signed by a site of this federation: join again with a new token."
        )
    # The clock comes after the signature: only a site that is known is told about it.
    _check_clock(site, time, now)
    return site


def _signed(key: bytes | None, signature: str, message: bytes) -> bool:
    if key is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _check_clock(site: str, time: str, now: datetime) -> None:
    try:
        ahead = datetime.fromisoformat(time) - now
    except (ValueError, TypeError):
        raise PrivacyRefusedError(
            f"The request's time {time[:40]!r} is not an ISO 8601 time with its zone: use the coordinator's version of "
            "fedgen."
        ) from None
    if abs(ahead) > WINDOW:
        seconds = ahead.total_seconds()
        raise PrivacyRefusedError(
            f"The clock of {site} is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the coordinator's, "
            f"and at most {WINDOW.total_seconds():.0f} s is allowed: set the clock, best by NTP."
        )


def _message(method: str, path: str, time: str, body: bytes) -> bytes:
    head = "\n".join((method, path, time, hashlib.sha256(body).hexdigest()))
    return b"fedgen-request/1\n" + head.encode(errors="replace")
