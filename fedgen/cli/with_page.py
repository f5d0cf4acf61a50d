"""A simulation with a page of its own beside it, which may stop it and go on with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from fedgen.run.directory import RunDirectory

if TYPE_CHECKING:
    from fedgen.api.open_run import Run
    from fedgen.dashboard.local import OwnRun

LOOK_SECONDS = 0.5


def run_with_page(made: Run, console: Console, port: int, run: Callable[[], None]) -> None:
    """Run it, show it meanwhile, and go on showing it until Ctrl-C.

    Args:
        made: the simulation's run.
        console: is told the link.
        port: of the page; 0 for a free one.
        run: runs every stage that is left, and shows what came of it.

    Raises:
        FedgenError, KeyboardInterrupt: as `run`, unless it was the page that stopped it.
    """
    from fedgen.dashboard.local import OwnRun, shown
    from fedgen.recipe import Recipe

    def say(sentence: str) -> None:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    study = made.study
    watched = OwnRun(RunDirectory(made.path), study, Recipe.of(study).sha256[:16])
    with shown(watched, port) as link:
        say(f"page: {link}")
        while True:
            done = _run(watched, run)
            say(
                "The page stays until Ctrl-C."
                if done
                else "Stopped by the page, which can also resume it. Ctrl-C ends the program."
            )
            try:
                while not watched.resumed.wait(LOOK_SECONDS):
                    pass
            except KeyboardInterrupt:
                if done:
                    return
                raise


def _run(watched: OwnRun, run: Callable[[], None]) -> bool:
    """Whether it came to its end, rather than to a stop by the page."""
    try:
        with watched.running():
            run()
    except KeyboardInterrupt:
        if not watched.stopped.is_set():
            raise
        return False
    return True
