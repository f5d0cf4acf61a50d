"""`fedgen read` of a simulation: its release, and the test patients of all its sites."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fedgen.errors import StudyError
from fedgen.pipeline.question import question_of
from fedgen.pipeline.readings import reading_folder, record_readings
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.site_numbers import released
from fedgen.reading.desk import Desk
from fedgen.reading.sitting import sit_down


def simulated_desk(path: Path, reader: str, tell: Callable[[str], None]) -> Desk:
    """A reader's sitting at a run; when it is done, the row is in the run's evaluation and report.

    Args:
        path: of the run.
        reader: a pseudonym.
        tell: told when the reading is done.

    Raises:
        DataError: the run has no release, or a reading of another one is there.
        StudyError: its study translates, or the pseudonym is none.
    """
    here = Simulation.open(path)
    task = question_of(here.work)
    made = released(task)
    if made is None:
        raise StudyError(f"{path} is of a study that translates: it releases a model, and no images to read.")
    book, picture = sit_down(reading_folder(path), task.sha256, here.work.study, here.sites, made)

    def done() -> None:
        written = record_readings(here.work)
        tell(
            "All is read, and the row is in evaluation.json and report.html. End with Ctrl-C."
            if written
            else "All is read; the row follows when the run is evaluated. End with Ctrl-C."
        )

    desk = Desk(book, reader, picture, done)
    if book.next(reader) is None:
        # It ended between the last answer and its row.
        done()
    return desk
