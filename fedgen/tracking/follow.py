"""A run told to trackers while it goes on: in threads of their own, which read its journal.

So a tracker that hangs, fails or is not there costs the run nothing: one loud sentence, and nobody tells it any more.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fedgen.run.directory import RunDirectory
from fedgen.run.events import Aborted, Done, Interrupted, event_of
from fedgen.tracking.contract import Tracked, Tracker
from fedgen.tracking.feed import Feed, tracked
from fedgen.tracking.registry import TrackerChoice, tracker_class

#: Seconds between two looks into the journal, and those that a tracker has after the run to take what is left.
POLL, LEFT = 0.5, 30.0

#: Told a sentence that somebody should see.
Say = Callable[[str], object]


def aloud(sentence: str) -> None:
    """On standard error, which no program reads."""
    print(sentence, file=sys.stderr, flush=True)


@contextmanager
def tracking(
    run: RunDirectory, choices: Sequence[TrackerChoice], say: Say, left: float = LEFT
) -> Iterator[None]:
    """Tell trackers what the block writes into the run's journal, and what was there before.

    Args:
        run: it.
        choices: of trackers.
        say: told why one of them is told nothing any more.
        left: seconds that they have after the block.
    """
    ended = threading.Event()
    followers = [_Follower(choice, tracked(run), run, ended, say) for choice in choices]
    for follower in followers:
        follower.start()
    try:
        yield
    finally:
        ended.set()
        for follower in followers:
            follower.join(left)
            if follower.is_alive():
                say(
                    f"WARNING: {follower.title} has not taken everything {left:g} s after the run's end, and is left "
                    "behind: what it has may be incomplete, what the run directory has is not."
                )


class _Follower(threading.Thread):
    """One tracker and the journal. A daemon: one that hangs does not keep the program from ending."""

    def __init__(
        self, choice: TrackerChoice, about: Tracked, run: RunDirectory, ended: threading.Event, say: Say
    ) -> None:
        super().__init__(name=f"tracker {choice.name}", daemon=True)
        self.title = f"The tracker {choice.name}" + (f" ({choice.where})" if choice.where else "")
        self._choice, self._about, self._run = choice, about, run
        self._ended, self._say = ended, say

    def run(self) -> None:
        """Tell it all; whatever it raises is one sentence."""
        try:
            self._tell(tracker_class(self._choice.name).open(self._about, self._choice.where))
        except Exception as error:
            # Not a bug of ours alone: whatever another's library or server does must not reach the run.
            self._say(
                f"WARNING: {self.title} failed and is told nothing more; the run goes on "
                f"({type(error).__name__}: {_short(error)})."
            )

    def _tell(self, tracker: Tracker) -> None:
        feed, told, status = Feed(tracker, self._run), 0, "interrupted"
        while True:
            last = self._ended.is_set()
            entries = list(self._run.journal.entries())
            for line, entry in enumerate(entries[told:], told + 1):
                event = event_of(entry, line)
                feed.tell(event)
                status = _status(event, status)
            told = len(entries)
            if last:
                feed.finish()
                tracker.close(status)
                return
            self._ended.wait(POLL)


def _status(event: object, before: str) -> str:
    if isinstance(event, Done):
        return "done"
    if isinstance(event, Aborted):
        return "failed"
    return "interrupted" if isinstance(event, Interrupted) else before


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:299]}\u2026"
