"""The one runner: every stage that is not done yet, timed and guarded; a run stopped anywhere goes on where it was."""

from __future__ import annotations

from fedgen.pipeline.setting import Setting
from fedgen.pipeline.stages import Stage, stages_of
from fedgen.pipeline.watch import SILENT, Watcher, guarded, timed
from fedgen.pipeline.workspace import Workspace
from fedgen.report.page import write_report
from fedgen.run.events import Done
from fedgen.run.summary import RunSummary, update_summary


def run_stages(here: Setting, watcher: Watcher = SILENT) -> None:
    """Run every stage that is not done; the data are always made ready and the report is always written anew.

    Raises:
        FedgenError: a stage failed; run.json says which, and a later call goes on from there.
        KeyboardInterrupt: likewise.
    """
    run = here.work.run
    with guarded(here.work):
        for stage in stages_of(here.work):
            if not stage.done(run):
                _run(here, stage, watcher)
        update_summary(run, RunSummary(status="done"))
        # Once more, so that the report shows the final status and its own time.
        write_report(run)
    run.event(Done())


def run_again(here: Setting, stage: Stage, watcher: Watcher = SILENT) -> None:
    """Run one stage, done or not, and those that pack what it leaves.

    Raises:
        FedgenError, KeyboardInterrupt: as `run_stages`.
    """
    run = here.work.run
    with guarded(here.work):
        _run(here, stage, watcher)
        for later in stages_of(here.work):
            if later.packs == stage.name:
                _run(here, later, watcher)
        finished = complete(here.work) and (run.path / "report.html").exists()
        update_summary(run, RunSummary(status="done" if finished else "running"))


def complete(work: Workspace) -> bool:
    """Whether a run has the products of every stage that leaves some."""
    return all(stage.done(work.run) for stage in stages_of(work) if stage.products)


def _run(here: Setting, stage: Stage, watcher: Watcher) -> None:
    watcher.stage(stage.name)
    with timed(here.work, stage.name):
        stage.action(here, watcher)
