"""Readings among the numbers of a run: a simulation's own, and what hospitals handed on."""

from __future__ import annotations

from pathlib import Path

from fedgen.errors import DataError
from fedgen.evidence.join import join
from fedgen.pipeline.entries import describe_evaluation
from fedgen.pipeline.question import question_of
from fedgen.pipeline.workspace import Workspace
from fedgen.reading.book import Book, ReadingPlan
from fedgen.reading.outcome import GROUP, reading_row
from fedgen.reading.reading_file import ReadingFile
from fedgen.report.page import write_report
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import EVALUATION, EvaluationFile
from fedgen.run.row import Row
from fedgen.run.site_only import FOLDER
from fedgen.run.summary import RunSummary, update_summary

#: Of what hospitals handed on, in a run.
READINGS = "readings"


def reading_folder(folder: Path) -> Path:
    """Where the pictures' order and the answers lie: they stay with the patients."""
    return folder / FOLDER / "reading"


def with_readings(run: RunDirectory, question: str, file: EvaluationFile) -> EvaluationFile:
    """An evaluation with the rows of all readings of this very release, in place of earlier ones.

    Raises:
        DataError: a reading is damaged.
    """
    own = _own(reading_folder(run.path), question)
    handed = {found.site: found.rows for found in _handed(run) if found.question == question}
    return file.model_copy(
        update={
            "pooled": (*_others(file.pooled), *own),
            "rows": (*_others(file.rows), *(join(handed) if handed else ())),
        }
    )


def record_readings(work: Workspace) -> bool:
    """Put all readings into evaluation.json, run.json and the report; False where nothing was evaluated yet.

    Raises:
        DataError: a file is damaged, or cannot be written.
    """
    if not (work.run.path / EVALUATION).exists():
        return False
    file = with_readings(work.run, question_of(work).sha256, EvaluationFile.read(work.run))
    file.write(work.run)
    update_summary(work.run, RunSummary(evaluation=describe_evaluation(file)))
    write_report(work.run)
    return True


def add_reading(work: Workspace, path: Path) -> str:
    """Take a file that a hospital handed on into the run; gives the hospital's name.

    Raises:
        DataError: it is damaged, of another study or release, or of a site that is not in the model.
    """
    found = ReadingFile.read(RunDirectory(path.parent), path.name)
    known = [site.site for site in RunSummary.read(work.run).sites]
    if found.study != work.recipe.sha256 or found.question != question_of(work).sha256:
        raise DataError(
            f"{path} is of another study or of other images than {work.run.path}: take the run it is of."
        )
    if found.site not in known:
        raise DataError(f"{path} is of {found.site}, which is not in the model of {work.run.path}.")
    if any(row.group != GROUP for row in found.rows):
        raise DataError(
            f"{path} holds other numbers than those of a reading: ask {found.site} for one that does not."
        )
    found.write(work.run, f"{READINGS}/{work.run.site(found.site).name}.json")
    record_readings(work)
    return found.site


def _others(rows: tuple[Row, ...]) -> list[Row]:
    return [row for row in rows if row.group != GROUP]


def _own(folder: Path, question: str) -> list[Row]:
    plan = ReadingPlan.find(RunDirectory(folder))
    if plan is None or plan.question != question:
        return []
    row = reading_row(Book(folder))
    return [] if row is None else [row]


def _handed(run: RunDirectory) -> list[ReadingFile]:
    names = sorted(path.name for path in (run.path / READINGS).glob("*.json"))
    return [ReadingFile.read(run, f"{READINGS}/{name}") for name in names]
