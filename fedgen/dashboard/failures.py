"""Strangers who try tokens are answered ever more rarely: guesses are counted by address, and forgotten in time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

#: Failures of one address within so many seconds, from which on it is not listened to; and addresses that are kept.
MOST, SECONDS, ADDRESSES = 10, 60.0, 4096


class Failures:
    """Failed attempts of late.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: OrderedDict[str, list[float]] = OrderedDict()

    def too_many(self, address: str) -> float:
        """Seconds until this address is listened to again; 0 where it is now."""
        with self._lock:
            times = self._recent(address)
            return 0.0 if len(times) < MOST else times[-MOST] + SECONDS - self._clock()

    def note(self, address: str) -> None:
        """An attempt of this address has failed."""
        with self._lock:
            times = [*self._recent(address), self._clock()][-MOST:]
            self._found[address] = times
            self._found.move_to_end(address)
            while len(self._found) > ADDRESSES:
                self._found.popitem(last=False)

    def _recent(self, address: str) -> list[float]:
        since = self._clock() - SECONDS
        return [at for at in self._found.get(address, ()) if at > since]
