"""The join token that a coordinator hands to one hospital: where to connect, whom to trust, and a secret.

It is one word, so that it survives e-mail and the clipboard. Whoever holds it can join under its name once, until it
expires; it is to be handed over as a password is.
"""

from __future__ import annotations

import base64
import binascii

from pydantic import Field, ValidationError

from fedgen.errors import StudyError
from fedgen.protocol.fields import Address, Hex32, SiteName, UtcTime
from fedgen.schema.canonical import canonical
from fedgen.schema.section import Section

PREFIX = "fedgen1."
MAX_CHARACTERS = 2048


class Invitation(Section):
    """What a join token says.

    Attributes:
        address: `host:port` of the coordinator.
        site: the name the site will have.
        secret: proves that the site was invited; good for one use.
        ca_sha256: of the one certificate authority to trust, over its DER bytes (what `openssl x509 -fingerprint
            -sha256` prints).
        expires: from then on the token is refused, UTC.
    """

    address: Address
    site: SiteName
    secret: str = Field(pattern=r"^[A-Za-z0-9_-]{32,128}$", repr=False)
    ca_sha256: Hex32
    expires: UtcTime


def encode_invitation(invitation: Invitation) -> str:
    """The token: `fedgen1.` and the invitation as base64url JSON."""
    text = canonical(invitation.model_dump(mode="json"))
    return PREFIX + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_invitation(token: str) -> Invitation:
    """The invitation of a token; spaces and line breaks that a mail program put around or into it are taken out.

    Raises:
        StudyError: it is no join token, or a part of it is missing.
    """
    word = "".join(token.split())
    if not word.startswith(PREFIX):
        raise StudyError(f"This is no join token, which would begin with {PREFIX}: copy the whole token.")
    body = word.removeprefix(PREFIX)
    try:
        if len(word) > MAX_CHARACTERS:
            raise ValueError
        data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        invitation = Invitation.model_validate_json(data)
    except (binascii.Error, ValidationError, ValueError):
        raise StudyError(
            "This join token is damaged: copy the whole token, or ask the coordinator for a new one."
        ) from None
    return invitation
