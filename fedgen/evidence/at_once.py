"""Several sites of a simulation assess a release at once: the audits of one are done while judges of another learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import as_completed
from typing import TypeVar

from fedgen.evidence.abandoned import OVER
from fedgen.evidence.telling import Telling
from fedgen.evidence.workers import workers

T = TypeVar("T")


def at_once(work: Mapping[str, Callable[[], T]], telling: Telling) -> Iterator[tuple[str, T]]:
    """What each gives, by name, as it comes; as many work at a time as there are cores.

    Where one fails, or whoever reads this is interrupted, those at work end at their next report, or when they next
    wait for one of `workers`, and the others do not begin.

    Args:
        work: by name.
        telling: what all of it reports through.
    """
    with workers() as pool:
        before = OVER.set(telling.over)
        asked = {pool.submit(each): name for name, each in work.items()}
        OVER.reset(before)
        try:
            for done in as_completed(asked):
                yield asked[done], done.result()
        except BaseException:
            telling.over.set()
            raise
