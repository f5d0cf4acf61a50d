"""All stages in order, timed; a run stopped anywhere goes on at the stage it was in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fedgen.errors import DataError
from fedgen.pipeline import stages
from fedgen.pipeline.watch import Watcher, guarded, timed
from fedgen.pipeline.workspace import Workspace
from fedgen.study.show import study_hash
from fedgen.study.study import Study

__all__ = ["Watcher", "guarded", "rewrite_report", "run_stages", "timed", "unfinished"]

#: What each stage leaves in the run folder once it is done.
PRODUCTS = {
    "train": "privacy.json",
    "synthesize": "samples/synthetic.safetensors",
    "audit": "audit.json",
    "evaluate": "evaluation.json",
}


def run_stages(work: Workspace, watcher: Watcher) -> None:
    """Run every stage that is not done yet; the report is always written anew.

    Raises:
        FedgenError: a stage failed; run.json says which, and a later call goes on from there.
        KeyboardInterrupt: likewise.
    """
    actions: list[tuple[str, Callable[[], None]]] = [
        ("train", lambda: stages.train(work, watcher.round)),
        ("synthesize", lambda: stages.synthesize(work, watcher.sample)),
        ("audit", lambda: stages.audit(work)),
        ("evaluate", lambda: stages.evaluate(work)),
    ]
    with guarded(work):
        watcher.stage("prepare")
        with timed(work, "prepare"):
            _ = work.data
        for name, action in actions:
            if not (work.run.path / PRODUCTS[name]).exists():
                watcher.stage(name)
                with timed(work, name):
                    action()
        watcher.stage("report")
        with timed(work, "report"):
            stages.report(work)
        work.run.update_summary(status="done")
        # Once more, so that the report shows the final status and its own time.
        stages.report(work)
    work.run.event("done")


def rewrite_report(work: Workspace) -> None:
    """Write a run's report anew, as the run stands; one with the product of every stage is done.

    Raises:
        FedgenError: the report could not be written; the run's status stays what it was.
    """
    if all((work.run.path / product).exists() for product in PRODUCTS.values()):
        # Before it is written, or the report would say that the run is not finished.
        work.run.update_summary(status="done")
    with timed(work, "report"):
        stages.report(work)


def unfinished(study: Study, out: Path) -> Workspace:
    """The newest run of this very study under `out` that is not done.

    Raises:
        DataError: there is none.
    """
    others = 0
    for path in sorted(out.glob(f"{study.study.name}-*"), reverse=True):
        if not (path / "study.yaml").is_file() or not (path / "run.json").is_file():
            continue
        work = Workspace.open(path)
        if study_hash(work.study) != study_hash(study):
            others += 1
        elif work.run.read_json("run.json").get("status") != "done":
            return work
    hint = f" ({others} of another version of the study)" if others else ""
    raise DataError(f"There is no unfinished run of {study.study.name} under {out}{hint}: start a new one.")
