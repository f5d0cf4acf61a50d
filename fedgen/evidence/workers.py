"""Threads that do small work side by side, one core each: train networks, make features, teach judges, compare halves.

A small network keeps no two cores busy, so it is given one, and as many networks are trained at a time as there are
cores. They are threads, since torch lets others run while it computes: images are held once, nothing is sent or
started, and what comes out does not depend on how many there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

from fedgen.evidence.abandoned import end_if_abandoned

T = TypeVar("T")


def cores() -> int:
    """Cores that this process may use, and no more than `OMP_NUM_THREADS` where that is set."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(allowed, int(asked)) if asked.isdecimal() and int(asked) > 0 else allowed


class Workers(ThreadPoolExecutor):
    """Threads that do nothing more for work that was abandoned."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """As of the executor; the future of what was abandoned has an AbandonedError."""

        def unless_abandoned() -> T:
            end_if_abandoned()
            return fn(*args, **kwargs)

        return super().submit(copy_context().run, unless_abandoned)


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """As many threads as `cores`, with one thread of torch's and of the algebra's each.

    What nobody has waited for at the end is given up.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = Workers(cores(), thread_name_prefix="judge", initializer=torch.set_num_threads, initargs=(1,))
    try:
        # Threads of the algebra wait longer for each other than such small matrices take. The limit is the process's,
        # so it is set here, once for all of the pool.
        with threadpool_limits(1):
            try:
                yield pool
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        torch.set_num_threads(before)
