"""Several sites of a simulation assess a release at once: the audits of one are done while judges of another learn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import as_completed
from typing import TypeVar

from fedgen.evidence.assess import Progress
from fedgen.evidence.workers import workers

T = TypeVar("T")


class AbandonedError(BaseException):
    """Nobody waits any more. No failure of the work, and so no `Exception`, which a site would write down."""


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


def at_once(work: Mapping[str, Callable[[], T]], telling: Telling) -> Iterator[tuple[str, T]]:
    """What each gives, by name, as it comes; as many work at a time as there are cores.

    Where one fails, or whoever reads this is interrupted, those at work end at their next report, and the others do not
    begin.

    Args:
        work: by name.
        telling: what all of it reports through.
    """
    with workers() as pool:
        asked = {pool.submit(each): name for name, each in work.items()}
        try:
            for done in as_completed(asked):
                yield asked[done], done.result()
        except BaseException:
            telling.over.set()
            raise
