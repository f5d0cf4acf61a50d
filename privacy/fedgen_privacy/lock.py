"""One process at a time: an advisory lock of the operating system, released even by kill -9."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedgen_privacy.errors import LockedError

POLL_SECONDS = 0.02


@contextmanager
def exclusive(path: Path, wait: float = 10.0) -> Iterator[None]:
    """Hold the lock file `path` for the block.

    Args:
        path: made where absent; its content means nothing.
        wait: seconds to wait for another process.

    Raises:
        LockedError: another process holds it all that time.
        OSError: the file cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + wait
    with path.open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise LockedError(
                        f"Another process has held {path} for {wait:g} s: wait for it, or stop it, and try again."
                    ) from None
                time.sleep(POLL_SECONDS)
        yield
