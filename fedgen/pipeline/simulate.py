"""All stages in order, timed; a run stopped anywhere goes on at the stage it was in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fedgen.errors import DataError
from fedgen.pipeline import stages
from fedgen.pipeline.progress import Watcher, guarded, timed
from fedgen.pipeline.workspace import Workspace
from fedgen.study.show import study_hash
from fedgen.study.study import Study

__all__ = ["Watcher", "guarded", "run_stages", "timed", "unfinished"]


def run_stages(work: Workspace, watcher: Watcher) -> None:
    """Run every stage that is not done yet; the report is always written anew.

    Raises:
        FedgenError: a stage failed; run.json says which, and a later call goes on from there.
        KeyboardInterrupt: likewise.
    """
    actions: list[tuple[str, str, Callable[[], None]]] = [
        ("train", "privacy.json", lambda: stages.train(work, watcher.round)),
        ("synthesize", "samples/synthetic.safetensors", lambda: stages.synthesize(work, watcher.sample)),
        ("audit", "audit.json", lambda: stages.audit(work)),
        ("evaluate", "evaluation.json", lambda: stages.evaluate(work)),
    ]
    with guarded(work):
        watcher.stage("prepare")
        with timed(work, "prepare"):
            _ = work.data
        for name, product, action in actions:
            if not (work.run.path / product).exists():
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
    raise DataError(
        f"There is no unfinished run of {study.study.name} under {out}{hint}: leave --resume away to start one."
    )
