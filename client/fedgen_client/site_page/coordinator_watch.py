"""The coordinator asked from time to time, beside the page, so that nobody waits for it who only looks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from fedgen.errors import FedgenError
from fedgen.protocol.enrolment import StudyStatus
from fedgen_client.coordinator import Coordinator
from fedgen_client.folder import SiteFolder
from fedgen_client.offers import fetch
from fedgen_client.studies import Studies

SECONDS = 60.0


@dataclass(frozen=True)
class Heard:
    """What was heard last.

    Attributes:
        time: when, UTC; None before the first answer.
        error: why nothing, or not all, was understood.
        progress: study hash to how far it is.
    """

    time: datetime | None
    error: str | None
    progress: dict[str, StudyStatus]


def ask(folder: SiteFolder) -> Heard:
    """Fetch and keep the studies that are offered, and ask how far they are."""
    moment = datetime.now(UTC)
    try:
        error = fetch(folder, Studies(folder))
        if error is not None:
            return Heard(moment, str(error), {})
        with Coordinator.of(folder) as coordinator:
            status = coordinator.status()
    except FedgenError as failed:
        return Heard(moment, str(failed), {})
    return Heard(moment, None, {study.study_sha256: study for study in status.studies})


class CoordinatorWatch:
    """Asks every minute, and whenever somebody wants to know now.

    Args:
        once: one question and its answer.
    """

    def __init__(self, once: Callable[[], Heard]) -> None:
        self._once, self._heard = once, Heard(None, None, {})
        self._lock = threading.Lock()

    @property
    def heard(self) -> Heard:
        """What was heard last."""
        return self._heard

    def now(self) -> Heard:
        """Ask now, or wait for the question that is on its way."""
        with self._lock:
            self._heard = self._once()
            return self._heard

    def begin(self, stopped: threading.Event) -> threading.Thread:
        """Ask now and then, in a thread of its own, until `stopped`."""

        def go_on() -> None:
            while True:
                self.now()
                if stopped.wait(SECONDS):
                    return

        thread = threading.Thread(target=go_on, name="coordinator-watch", daemon=True)
        thread.start()
        return thread
