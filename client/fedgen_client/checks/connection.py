"""The way to the coordinator: reachability and TLS, clocks, versions, membership, and studies that are offered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from fedgen import __version__
from fedgen.errors import ExitCode, FedgenError
from fedgen.protocol.enrolment import TimeReply
from fedgen.protocol.signing import WINDOW
from fedgen_client.checks.line import CheckLine, mend
from fedgen_client.coordinator import Coordinator
from fedgen_client.folder import SiteFolder
from fedgen_client.studies import Studies

#: Flower's Fleet API takes requests from at most 5 s in the future; a little of it is for the network.
AHEAD = timedelta(seconds=4)


def connection_lines(
    folder: SiteFolder, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Iterator[CheckLine]:
    """Ask the coordinator for the time, for this site's membership, and for its studies, which are kept.

    What cannot be asked because of what failed before has no line.
    """
    try:
        coordinator = Coordinator.of(folder)
    except FedgenError as error:
        yield mend("coordinator", error)
        return
    with coordinator:
        sent = now()
        try:
            reply = coordinator.time()
        except FedgenError as error:
            yield mend("coordinator", error)
            return
        back = now()
        yield CheckLine("coordinator", f"{coordinator.address} answers over TLS under the pinned authority.")
        yield _clock(reply, sent, back)
        yield _version(reply)
        yield _membership(folder, coordinator)
        yield _offers(folder, coordinator)


def _clock(reply: TimeReply, sent: datetime, back: datetime) -> CheckLine:
    ahead = sent + (back - sent) / 2 - reply.time
    seconds = ahead.total_seconds()
    if -WINDOW < ahead < AHEAD:
        return CheckLine("clock", f"differs from the coordinator's by {abs(seconds):.1f} s.")
    allowed = f"{AHEAD.total_seconds():.0f} s ahead and {WINDOW.total_seconds():.0f} s behind"
    return CheckLine(
        "clock",
        f"is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the coordinator's, and at most {allowed} "
        "is allowed: set the clock, best by NTP.",
        ExitCode.FEDERATION,
    )


def _version(reply: TimeReply) -> CheckLine:
    both = f"fedgen {__version__} here, {reply.fedgen} at the coordinator"
    if _release(reply.fedgen) == _release(__version__):
        return CheckLine("version", f"{both}.")
    return CheckLine("version", f"{both}: install the coordinator's.", ExitCode.FEDERATION)


def _release(version: str) -> list[str]:
    """Major and minor number: what the two sides say to each other may change with them."""
    return version.split(".")[:2]


def _membership(folder: SiteFolder, coordinator: Coordinator) -> CheckLine:
    try:
        active = coordinator.site().active
        membership = folder.membership()
    except FedgenError as error:
        return mend("membership", error)
    who = f"{membership.site} of {membership.federation}"
    if active:
        return CheckLine("membership", f"{who}, active.")
    return CheckLine(
        "membership",
        f"{who} was removed by the coordinator: ask it why, and for a new token.",
        ExitCode.FEDERATION,
    )


def _offers(folder: SiteFolder, coordinator: Coordinator) -> CheckLine:
    try:
        offers = coordinator.studies()
        errors = Studies(folder).keep_all(offers)
    except FedgenError as error:
        return mend("studies", error)
    if errors:
        return mend("studies", errors[0])
    return CheckLine("studies", f"{len(offers)} offered, signed by this federation's coordinator.")
