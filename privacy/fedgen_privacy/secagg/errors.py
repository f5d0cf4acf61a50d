"""Why a secure aggregation ended without a sum."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Self

from fedgen_privacy.errors import FederationError


class Phase(StrEnum):
    """The five exchanges of a session, in their order."""

    ADVERTISE = "advertise"
    SHARE = "share"
    MASK = "mask"
    CONFIRM = "confirm"
    UNMASK = "unmask"


class SecAggAborted(FederationError):  # noqa: N818 - an abort is the protocol's own word for this outcome
    """The session is over, nothing was summed and no single update was opened (exit 5).

    Attributes:
        phase: where it ended.
        reason: what was wrong, in words.
        sites: whom the reason concerns; empty where the protocol cannot tell. The coordinator names whom signatures and
            commitments convict. A site names whose statement it could not accept, which a lying coordinator may
            have changed on the way.
    """

    def __init__(self, phase: Phase, reason: str, sites: Iterable[str] = ()) -> None:
        self.phase = phase
        self.reason = reason
        self.sites = tuple(sorted(sites))
        named = f" (concerning {', '.join(self.sites)})" if self.sites else ""
        super().__init__(f"Secure aggregation aborted in phase {phase.value}: {reason}{named}.")

    def __reduce__(self) -> tuple[type[Self], tuple[Phase, str, tuple[str, ...]]]:
        # A simulation's engine copies errors between its processes, and would copy the sentence alone.
        return type(self), (self.phase, self.reason, self.sites)


class MessageError(FederationError):
    """Bytes that are not a message of this protocol version (exit 5)."""
