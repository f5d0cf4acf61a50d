"""Being told to stop, by Ctrl-C or by the system: one set of handlers for every program.

`interrupt` is what a program makes of SIGTERM, so that both signals are a KeyboardInterrupt. On top of it, work that
waits in threads is `stopping`: they are told first. A service is `finishing`: it ends in its own time.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: What shells report for a program stopped by Ctrl-C: 128 + SIGINT.
INTERRUPTED = 130

Handler = Callable[[int, FrameType | None], object]


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """A handler that ends what is under way, as Python's own does for Ctrl-C."""
    raise KeyboardInterrupt


@contextmanager
def kept(*numbers: signal.Signals) -> Iterator[None]:
    """Whatever handlers the block sets, those from before are back after it."""
    before = {number: signal.getsignal(number) for number in numbers} if _in_main_thread() else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None is one that was not set from Python, which cannot put it back.
            if handler is not None:
                signal.signal(number, handler)


@contextmanager
def stopping(event: threading.Event) -> Iterator[None]:
    """Set `event` when the block is left, and already when a signal asks for it, before its own handler is called.

    What is the system's default, or ignored, stays so: a shell ignores Ctrl-C for what it starts in the background.
    """

    def first(handler: Handler) -> Handler:
        def stop(number: int, frame: FrameType | None) -> None:
            event.set()
            handler(number, frame)

        return stop

    try:
        with kept(*STOP_SIGNALS):
            for number in STOP_SIGNALS if _in_main_thread() else ():
                handler = signal.getsignal(number)
                if callable(handler):
                    signal.signal(number, first(handler))
            yield
    finally:
        event.set()


@contextmanager
def finishing(event: threading.Event) -> Iterator[threading.Event]:
    """Set `event` when a signal asks to stop, and end at once when one asks again; yields whether one asked."""
    asked = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        asked.set()
        event.set()
        # Whoever asks twice does not want to wait for what is under way.
        signal.signal(number, lambda *_: sys.exit(INTERRUPTED))

    with kept(*STOP_SIGNALS):
        for number in STOP_SIGNALS if _in_main_thread() else ():
            signal.signal(number, stop)
        yield asked


def _in_main_thread() -> bool:
    # Only there handlers may be set.
    return threading.current_thread() is threading.main_thread()
