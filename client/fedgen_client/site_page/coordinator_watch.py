"""The coordinator asked from time to time, beside the page, so that nobody waits for it who only looks."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from fedgen.errors import FedgenError
from fedgen.protocol.enrolment import StudyStatus
from fedgen_client.coordinator import Coordinator
from fedgen_client.folder import SiteFolder
from fedgen_client.offers import fetch
from fedgen_client.studies import Studies

#: Seconds between two questions: while somebody looks at the page, who would wait for a study that is offered; or not.
LOOKED_AT, UNSEEN = 10.0, 60.0


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
    """Asks every minute, more often while somebody looks, and whenever somebody wants to know now.

    Args:
        once: one question and its answer.
        clock: seconds, monotonic.
    """

    def __init__(self, once: Callable[[], Heard], clock: Callable[[], float] = time.monotonic) -> None:
        self._once, self._clock, self._heard = once, clock, Heard(None, None, {})
        self._lock = threading.Lock()
        self._asked_at = self._looked_at = -math.inf

    def look(self) -> Heard:
        """What was heard last, for somebody who looks."""
        self._looked_at = self._clock()
        return self._heard

    def now(self) -> Heard:
        """Ask now, or wait for the question that is on its way."""
        with self._lock:
            self._asked_at = self._clock()
            self._heard = self._once()
            return self._heard

    def due(self) -> bool:
        """Whether it is time to ask."""
        now = self._clock()
        seen = now - self._looked_at < 2 * LOOKED_AT
        return now - self._asked_at >= (LOOKED_AT if seen else UNSEEN)

    def begin(self, stopped: threading.Event) -> threading.Thread:
        """Ask whenever it is due, in a thread of its own, until `stopped`."""

        def go_on() -> None:
            while not stopped.wait(0.5 if math.isfinite(self._asked_at) else 0.0):
                if self.due():
                    self.now()

        thread = threading.Thread(target=go_on, name="coordinator-watch", daemon=True)
        thread.start()
        return thread
