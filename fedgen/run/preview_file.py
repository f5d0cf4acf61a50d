"""Pictures of the model in training: where they lie, and how much of the rounds' time they may take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from fedgen.errors import StudyError
from fedgen.run.directory import RunDirectory
from fedgen.run.run_file import RunFile

#: In a run directory.
FOLDER = "previews"
#: Percent of the rounds' time where nobody said another.
USUAL_PERCENT = 5.0
#: Pictures that stay: who reads the journal finds that of an event which is a moment old.
KEPT = 3


class PreviewChoice(RunFile):
    """`previews.json`: what was chosen where the run was started.

    It is no key of the study, because no result depends on it and no site has a say in it; and it is kept, so that who
    resumes the run need not say it again.

    Attributes:
        percent: of the rounds' time; 0 for no picture.
    """

    name: ClassVar[str] = "previews.json"
    percent: Annotated[float, Field(ge=0, le=100)] = USUAL_PERCENT


def choose_previews(run: RunDirectory, percent: float | None) -> None:
    """Keep what was asked for; None leaves it as it was.

    Raises:
        StudyError: it is no percentage.
        DataError: the disk is full or the folder is not writable.
    """
    if percent is None:
        return
    require_percent(percent)
    PreviewChoice(percent=percent).write(run)


def require_percent(percent: float | None) -> None:
    """Raise StudyError where it is no share of the rounds' time."""
    if percent is not None and not 0 <= percent <= 100:
        raise StudyError(
            f"previews is {percent:g} percent of the rounds' time: give a number from 0 (no pictures) to 100."
        )


def preview_percent(run: RunDirectory) -> float:
    """Percent of the rounds' time that pictures of this run's training may take.

    Raises:
        DataError: the file is damaged.
    """
    return (PreviewChoice.find(run) or PreviewChoice()).percent


def preview_path(run: RunDirectory, round: int) -> Path:
    """The picture of the model after a round."""
    return run.path / FOLDER / f"round-{round:05d}.png"


def remove_older(run: RunDirectory) -> None:
    """Leave the newest pictures alone."""
    for old in sorted((run.path / FOLDER).glob("round-*.png"))[:-KEPT]:
        old.unlink(missing_ok=True)
