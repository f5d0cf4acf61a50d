"""A stage at work: what a shell shows of it, its seconds, and its failure in the run directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fedgen.errors import DataError, FedgenError
from fedgen.families.contract import Told, unheard
from fedgen.federation.coordinator.rounds import RoundReport
from fedgen.pipeline.threads import suited_to
from fedgen.pipeline.workspace import Workspace
from fedgen.run.events import Aborted, Interrupted, StageBegun
from fedgen.run.summary import RunSummary, update_summary

#: Told whose patients were looked at, and the title of what was found.
Measured = Callable[[str, str], None]


def unseen(whose: str, title: str) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Watcher:
    """What a shell shows while a run goes on.

    Attributes:
        stage: told the stage's name before it starts.
        round: told each finished round.
        images: told (images done, images in all) while images are decoded or drawn.
        measured: told of whose patients what has been audited or measured.
        finishing: told (parts done, parts in all) of what is made of the model after the last round.
    """

    stage: Callable[[str], None]
    round: Callable[[RoundReport], None]
    images: Callable[[int, int], None]
    measured: Measured = unseen
    finishing: Told = unheard


#: Shows nothing.
SILENT = Watcher(stage=lambda name: None, round=lambda report: None, images=lambda done, total: None)


@contextmanager
def timed(work: Workspace, stage: str) -> Iterator[None]:
    """Add the block's seconds to run.json's `timings`; a stage resumed later adds up."""
    started = time.monotonic()
    work.run.event(StageBegun(stage=stage))
    try:
        with suited_to(work.study.data.image_size):
            yield
    finally:
        seconds = time.monotonic() - started
        timings = RunSummary.read(work.run).timings
        known = round(timings.get(stage, 0.0) + seconds, 3)
        update_summary(work.run, RunSummary(timings={**timings, stage: known}))


@contextmanager
def guarded(work: Workspace) -> Iterator[None]:
    """Write the reason of a failure into the run directory before passing it on."""
    update_summary(work.run, RunSummary(status="running"))
    try:
        yield
    except KeyboardInterrupt:
        update_summary(work.run, RunSummary(status="interrupted"))
        work.run.event(Interrupted())
        raise
    except FedgenError as error:
        _note_failure(work, error.for_log, int(error.exit_code))
        raise
    except Exception as error:
        _note_failure(work, f"unexpected {type(error).__name__}", 1)
        raise


def _note_failure(work: Workspace, reason: str, code: int) -> None:
    try:
        update_summary(work.run, RunSummary(status="failed"))
        work.run.event(Aborted(reason=reason, code=code))
    except DataError:
        # The disk may be what failed; the error already on its way is the one to show.
        return
