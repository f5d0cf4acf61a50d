"""The two halves of an assessment at once: the audits of a release, and what it is worth.

Neither keeps two cores busy: most of an audit is one core's work, and the judges of the other half wait for each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from fedgen.evidence.abandoned import AbandonedError
from fedgen.evidence.assess import Progress
from fedgen.evidence.telling import Telling
from fedgen.evidence.workers import workers

A = TypeVar("A")
E = TypeVar("E")


def side_by_side(
    audit: Callable[[Progress], A], evaluation: Callable[[Progress], E], progress: Progress
) -> tuple[A, E]:
    """What both give, the audits from a thread of their own.

    Where one fails, or the caller is interrupted, the other ends at its next row; of two errors the audits' counts.

    Args:
        audit, evaluation: told where to report their rows.
        progress: told each row, one at a time, of both in turn.
    """
    telling = Telling()
    over, told = telling.over, telling.through(progress)
    with workers() as pool:
        audited = pool.submit(_ending(audit, over), told)
        try:
            evaluated = evaluation(told)
            return audited.result(), evaluated
        except BaseException as error:
            over.set()
            failed = audited.exception()
            if failed is None or failed is error or isinstance(failed, AbandonedError):
                raise
            raise failed from None


def _ending(work: Callable[[Progress], A], over: threading.Event) -> Callable[[Progress], A]:
    def done(told: Progress) -> A:
        try:
            return work(told)
        except BaseException:
            over.set()
            raise

    return done
