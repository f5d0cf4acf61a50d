"""Where the hospital's page is, and how one enters it."""

from __future__ import annotations

import secrets
from datetime import timedelta

from fedgen.dashboard.door import Doorway

COOKIE = "fedgen-site"
#: A cookie is good for so long; the token of the link gives another one.
SESSION = timedelta(hours=8)


def site_doorway() -> Doorway:
    """A place of random name, at plain HTTP of this machine."""
    return Doorway(
        root=f"/{secrets.token_hex(8)}",
        cookie=COOKIE,
        secure=False,
        secret=True,
        session=SESSION,
        brand="fedgen at this hospital",
        lead="This page opens with a link that `fedgen-client page` printed. Use it, or paste its last part, behind "
        "the #. The one to decide and the one to look are different.",
        wrong="This is not a token of this page: copy the whole of it.",
    )
