"""A report written anew by whoever asks for one, without what trains, measures and draws: that loads for seconds."""

from __future__ import annotations

import time

from fedgen.report.page import write_report
from fedgen.run.directory import RunDirectory
from fedgen.run.events import StageBegun
from fedgen.run.summary import RunSummary, update_summary
from fedgen.run_view import RunView

STAGE = "report"
#: Last of what is drawn: a folder of samples without it is of a drawing that was stopped.
_DRAWN = "samples/synthetic.safetensors"


def report_again(run: RunDirectory) -> None:
    """Write a run's report as the run stands; one with the products of every stage is done.

    Raises:
        FedgenError: the report could not be written; the run's status stays what it was.
    """
    view = RunView(run)
    if not view.missing and (view.translates or (run.path / _DRAWN).exists()):
        # Before it is written, or the report would say that the run is not finished.
        update_summary(run, RunSummary(status="done"))
    if RunSummary.name in view.missing:
        # Of a run that has not begun nothing is noted, or the next report would not name all that is missing.
        write_report(run)
        return
    started = time.monotonic()
    run.event(StageBegun(stage=STAGE))
    try:
        write_report(run)
    finally:
        timings = RunSummary.read(run).timings
        known = round(timings.get(STAGE, 0.0) + time.monotonic() - started, 3)
        update_summary(run, RunSummary(timings={**timings, STAGE: known}))
