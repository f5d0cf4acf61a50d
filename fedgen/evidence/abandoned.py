"""Work for which nobody waits any more: whoever does it asks here, and ends."""

from __future__ import annotations

from contextvars import ContextVar
from threading import Event


class AbandonedError(BaseException):
    """Nobody waits any more. No failure of the work, and so no `Exception`, which a site would write down."""


#: Set where nobody waits any more; threads of `workers` have that of who gave them their work.
OVER: ContextVar[Event | None] = ContextVar("over", default=None)


def end_if_abandoned() -> None:
    """Raise AbandonedError where nobody waits for the work of this thread."""
    over = OVER.get()
    if over is not None and over.is_set():
        raise AbandonedError
