"""All stages in order, timed; a run stopped anywhere goes on at the stage it was in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedgen.errors import DataError, FedgenError
from fedgen.federation.coordinator import RoundReport
from fedgen.pipeline import stages
from fedgen.pipeline.threads import suited_to
from fedgen.pipeline.workspace import Workspace
from fedgen.study.show import study_hash
from fedgen.study.study import Study


@dataclass(frozen=True)
class Watcher:
    """What a shell shows while a run goes on.

    Attributes:
        stage: told the stage's name before it starts.
        round: told each finished round.
        sample: told (images done, images in all).
    """

    stage: Callable[[str], None]
    round: Callable[[RoundReport], None]
    sample: Callable[[int, int], None]


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


@contextmanager
def timed(work: Workspace, stage: str) -> Iterator[None]:
    """Add the block's seconds to run.json's `timings`; a stage resumed later adds up."""
    started = time.monotonic()
    work.run.event("stage", stage=stage)
    try:
        with suited_to(work.study.data.image_size):
            yield
    finally:
        seconds = time.monotonic() - started
        timings = dict(work.run.read_json("run.json").get("timings", {}))
        timings[stage] = round(timings.get(stage, 0.0) + seconds, 3)
        work.run.update_summary(timings=timings)


@contextmanager
def guarded(work: Workspace) -> Iterator[None]:
    """Write the reason of a failure into the run directory before passing it on."""
    work.run.update_summary(status="running")
    try:
        yield
    except KeyboardInterrupt:
        work.run.update_summary(status="interrupted")
        work.run.event("interrupted")
        raise
    except FedgenError as error:
        _note_failure(work, str(error), int(error.exit_code))
        raise
    except Exception as error:
        _note_failure(work, f"unexpected {type(error).__name__}", 1)
        raise


def _note_failure(work: Workspace, reason: str, code: int) -> None:
    try:
        work.run.update_summary(status="failed")
        work.run.event("abort", reason=reason, code=code)
    except DataError:
        # The disk may be what failed; the error already on its way is the one to show.
        return


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
