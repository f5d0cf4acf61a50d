"""What several threads report to one listener, and by which they are stopped when nobody waits any more."""

from __future__ import annotations

import threading

from fedgen.evidence.abandoned import AbandonedError
from fedgen.evidence.assess import Progress


class Telling:
    """What several threads report, one at a time; whoever reports after the end is stopped by it."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._one = threading.Lock()

    def through(self, progress: Progress) -> Progress:
        """The same report from any thread."""

        def told(title: str) -> None:
            if self.over.is_set():
                raise AbandonedError
            with self._one:
                progress(title)

        return told
