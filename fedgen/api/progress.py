"""What a program or a person is shown while a run goes on: nothing, a bar, or whatever a function makes of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedgen.federation.coordinator.rounds import RoundReport
    from fedgen.pipeline.watch import Watcher


@dataclass(frozen=True)
class Moment:
    """Something that has just happened in a run.

    Attributes:
        stage: the stage at work: `prepare`, `train`, `synthesize`, `assess`, `release` or `report`.
        words: what happened, for people; empty where a stage begins or images are counted.
        done: parts of the stage that are done: rounds, images, or parts of finishing the model.
        total: parts in all; None where nobody knows.
        round: the round that was finished, with its losses, epsilon and sites; None at other moments.
    """

    stage: str
    words: str = ""
    done: int = 0
    total: int | None = None
    round: RoundReport | None = None


#: True for a bar (in a notebook, on a terminal) or lines (in a file), False for nothing, or a function that is told
#: each moment; what it raises stops the run, which can be gone on with.
Progress = bool | Callable[[Moment], object]


@contextmanager
def watching(progress: Progress) -> Iterator[Watcher]:
    """A watcher of the pipeline that shows it so, within the block."""
    from rich.console import Console

    from fedgen.api.display import Display
    from fedgen.api.notebook import NotebookBar
    from fedgen.pipeline.watch import SILENT

    if progress is False:
        yield SILENT
    elif callable(progress):
        yield _told(progress)
    elif in_notebook():
        with NotebookBar() as bar:
            yield _told(lambda moment: bar.show(moment.stage, moment.words, moment.done, moment.total))
    else:
        with Display(Console()) as display:
            yield display.watcher


def tell_of_report(progress: Progress) -> None:
    """Say that a report is being written, which loads nothing that a run's other stages are shown with."""
    if callable(progress):
        progress(Moment("report"))
    elif progress:
        print("Writing the report")


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


def _told(tell: Callable[[Moment], object]) -> Watcher:
    from fedgen.api.display import describe
    from fedgen.pipeline.watch import Watcher

    stage = ""
    measured = 0

    def begun(name: str) -> None:
        nonlocal stage, measured
        stage, measured = name, 0
        tell(Moment(stage))

    def round(report: RoundReport) -> None:
        tell(Moment(stage, describe(report), report.round, report.rounds, report))

    def images(done: int, total: int) -> None:
        tell(Moment(stage, "", done, total))

    def seen(whose: str, title: str) -> None:
        nonlocal measured
        measured += 1
        tell(Moment(stage, f"{whose}: {title}", measured))

    def finishing(done: int, total: int) -> None:
        tell(Moment(stage, "finishing the model", done, total))

    return Watcher(begun, round, images, seen, finishing)
