"""A simulation with a page of its own beside it, which may stop it and go on with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from fedgen.errors import DataError
from fedgen.run.directory import RunDirectory

if TYPE_CHECKING:
    from fedgen.api.open_run import Run
    from fedgen.dashboard.local import OwnRun

LOOK_SECONDS = 0.5


def run_with_page(
    made: Run, console: Console, port: int, run: Callable[[], None], options: Sequence[str] = ()
) -> None:
    """Run it, show it meanwhile, and go on showing it until Ctrl-C.

    Args:
        made: the simulation's run.
        console: is told the link.
        port: of the page; 0 for a free one.
        run: runs every stage that is left, and shows what came of it.
        options: of the command, which it is given again when it goes on.

    Raises:
        FedgenError, KeyboardInterrupt: as `run`, unless it was the page that stopped it.
    """
    from fedgen.dashboard.local import OwnRun, shown
    from fedgen.recipe import Recipe

    def say(sentence: str) -> None:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    study = made.study
    directory = RunDirectory(made.path)
    watched = OwnRun(directory, study, Recipe.of(study).sha256[:16])
    with shown(watched, port) as link:
        say(f"page: {link}")
        done = _here(watched, run)
        while True:
            say(
                "The page stays until Ctrl-C."
                if done
                else "The run has stopped. The page can resume it; Ctrl-C ends the program."
            )
            try:
                while not watched.resumed.wait(LOOK_SECONDS):
                    pass
            except KeyboardInterrupt:
                if done:
                    return
                raise
            done = _again(watched, [*resuming(directory), *options])


def resuming(run: RunDirectory) -> list[str]:
    """The command that goes on with a run, as long as it is the newest of its study that is not done.

    Raises:
        DataError: another is newer, and the command would go on with that.
    """
    from fedgen.pipeline.simulation import unfinished
    from fedgen.study.load import load_study

    study, out = run.study, run.path.parent
    newest = unfinished(load_study(str(study)), out).work.run.path
    if newest.resolve() != run.path.resolve():
        raise DataError(
            f"{newest} is a newer run of the same study that is not done: finish or remove it first."
        )
    return [
        sys.executable,
        "-m",
        "fedgen.cli",
        "simulate",
        str(study),
        "--resume",
        "--yes",
        "--out",
        str(out),
    ]


def _here(watched: OwnRun, run: Callable[[], None]) -> bool:
    """Whether it came to its end in this process, rather than to a stop by the page."""
    try:
        with watched.running():
            run()
    except KeyboardInterrupt:
        if not watched.stopped.is_set():
            raise
        return False
    return True


def _again(watched: OwnRun, command: list[str]) -> bool:
    """Whether it came to its end in a process of its own: the engine that was interrupted here cannot begin again."""
    with subprocess.Popen(command) as process, watched.running(process.pid):
        return process.wait() == 0
