"""`fedgen-client start`: the site at its post."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from fedgen.errors import FedgenError
from fedgen.run.lock import held
from fedgen.run.memory import return_large_buffers
from fedgen.run.signals import finishing
from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, site

if TYPE_CHECKING:
    from fedgen_client.folder import SiteFolder
    from fedgen_client.offers import Offers

#: Seconds between two questions whether a study is over, with --once.
OVER_SECONDS = 3.0


def start(
    once: Annotated[
        bool,
        typer.Option("--once", help="End when the studies that are offered now, or the next one, are over."),
    ] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Take part in approved studies until stopped: run it as a service, or in a terminal of its own."""
    from fedgen.flower.fleet import Fleet
    from fedgen_client.coordinator import pinned_ca
    from fedgen_client.offers import Offers
    from fedgen_client.supervisor import Supervisor
    from fedgen_client.trust import pinned

    return_large_buffers()
    own = site(folder)
    membership = own.membership()
    stopped = threading.Event()
    with _alone(own), finishing(stopped) as interrupted:
        fleet = Fleet(membership.address, pinned(pinned_ca(own)), own.node_private_pem(), membership.node_id)
        offers = Offers(own, _say)
        supervisor = Supervisor(own, fleet, offers.refresh, offers.settle, _say, stopped)
        _say(
            f"{membership.site} of {membership.federation}, coordinator {membership.address}. Stop it with Ctrl-C."
        )
        supervisor.serve(_over(offers) if once else lambda: False)
    if interrupted.is_set():
        raise KeyboardInterrupt


def _say(sentence: str) -> None:
    moment = time.strftime("%H:%M:%S")
    print(f"{moment}  {sentence}", flush=True)


def _over(offers: Offers) -> Callable[[], bool]:
    """Whether there was a study and there is none any more, asked from time to time."""
    seen, asked = False, 0.0

    def over() -> bool:
        nonlocal seen, asked
        if time.monotonic() - asked < OVER_SECONDS:
            return False
        asked = time.monotonic()
        try:
            going_on = offers.going_on()
        except FedgenError:
            return False
        ended = seen and not going_on
        seen = seen or going_on
        return ended

    return over


def _alone(folder: SiteFolder) -> AbstractContextManager[None]:
    busy = (
        f"Another `fedgen-client start` works in {folder.path}, and two must not spend one site's budget: stop it "
        "first."
    )
    # Not at once: the site's page looks now and then whether somebody is at work, which holds the file for an instant.
    return held(folder.lock, wait=1.0, busy=busy)
