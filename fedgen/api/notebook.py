"""A bar in a notebook: one line of HTML that is written over, which needs no widgets and stays in the saved file."""

from __future__ import annotations

import time
from html import escape
from types import TracebackType
from typing import Any

from fedgen.api.display import TITLES

#: Seconds between two changes of one stage's bar: a browser that is told each image falls behind.
PACE = 0.2


class NotebookBar:
    """The stage at work, how far it is, and what happened last."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._stage = ""
        self._due = 0.0
        self._latest = ""

    def __enter__(self) -> NotebookBar:
        from IPython.display import display

        self._handle = display(self._html("<em>Starting</em>"), display_id=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._write(f"{escape(TITLES.get(self._stage, self._stage))}: <strong>stopped</strong>")
        elif self._stage:
            self._write("Done")

    def show(self, stage: str, words: str, done: int, total: int | None) -> None:
        """Show where a run is."""
        now = time.monotonic()
        if stage == self._stage and now < self._due and done != total:
            return
        self._stage, self._due = stage, now + PACE
        self._write(line(stage, words, done, total))

    def _write(self, text: str) -> None:
        if self._handle is not None and text != self._latest:
            self._latest = text
            self._handle.update(self._html(text))

    @staticmethod
    def _html(text: str) -> Any:
        from IPython.display import HTML

        return HTML(f'<div role="status">{text}</div>')


def line(stage: str, words: str, done: int, total: int | None) -> str:
    """One line of HTML.

    >>> line("train", "epsilon <= 1.00", 2, 5)
    'Training <progress max="5" value="2">2 of 5</progress> epsilon &lt;= 1.00'
    """
    bar = "" if total is None else f' <progress max="{total}" value="{done}">{done} of {total}</progress>'
    return f"{escape(TITLES.get(stage, stage))}{bar} {escape(words)}".rstrip()
