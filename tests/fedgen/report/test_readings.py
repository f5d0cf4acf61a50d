"""A reading among the numbers of a run: a simulation's own, and what a hospital hands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedgen.errors import DataError
from fedgen.pipeline.question import question_of
from fedgen.pipeline.readings import add_reading, reading_folder, record_readings
from fedgen.pipeline.workspace import Workspace
from fedgen.reading.book import CHOICES, Book
from fedgen.reading.reading_file import ReadingFile
from fedgen.reading.trials import DrawnPairs
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import EvaluationFile
from fedgen.run.row import Row, Value
from fedgen.study.reading_section import ReadingSection

PAIRS = tuple(range(6))


def read_through(run: RunDirectory, reader: str = "ann") -> None:
    """A reader who always says left."""
    work = Workspace.open(run.path)
    question = question_of(work).sha256
    book = Book.begin(
        reading_folder(run.path),
        question,
        ReadingSection(form=("sharpness",)),
        DrawnPairs(PAIRS, PAIRS),
        lambda drawn: "",
    )
    for trial in PAIRS:
        book.write(reader, trial, CHOICES["2afc"][0], {"sharpness": (4, 2)}, 1.0)


def test_a_simulations_reading_is_a_row_of_its_evaluation_and_report(finished_run: RunDirectory) -> None:
    before = EvaluationFile.read(finished_run)
    read_through(finished_run)
    assert record_readings(Workspace.open(finished_run.path))
    after = EvaluationFile.read(finished_run)
    (row,) = [row for row in after.pooled if row.group == "reading"]
    assert after.pooled[:-1] == before.pooled
    assert after.rows == before.rows
    page = (finished_run.path / "report.html").read_text()
    assert "Readers tell real from synthetic" in page
    assert "pooled/reading" in page
    assert finished_run.read_json("run.json")["evaluation"]["reading, all sites"]["readers"] == 1
    read_through(finished_run, "ben")
    record_readings(Workspace.open(finished_run.path))
    again = EvaluationFile.read(finished_run)
    assert len(again.pooled) == len(after.pooled), "in place of the earlier row"
    assert again.pooled[-1].get("readers") != row.get("readers")


def test_a_reading_of_another_release_is_no_row_of_this_one(finished_run: RunDirectory) -> None:
    read_through(finished_run)
    plan = reading_folder(finished_run.path) / "plan.json"
    plan.write_text(
        plan.read_text().replace(question_of(Workspace.open(finished_run.path)).sha256, "another")
    )
    before = EvaluationFile.read(finished_run)
    record_readings(Workspace.open(finished_run.path))
    assert EvaluationFile.read(finished_run) == before


def test_without_an_evaluation_the_row_waits(finished_run: RunDirectory) -> None:
    read_through(finished_run)
    (finished_run.path / "evaluation.json").unlink()
    assert not record_readings(Workspace.open(finished_run.path))


def handed(run: RunDirectory, site: str, accuracy: float, **changes: str) -> ReadingFile:
    work = Workspace.open(run.path)
    low, high = accuracy - 0.2, accuracy + 0.2
    value = Value(name="accuracy", value=accuracy, low=low, high=high, pool="mean", weight="test_patients")
    group = changes.pop("group", "reading")
    row = Row(id="reading", title="Readers", group=group, values=(value,), n={"test_patients": 9})
    told = {"site": site, "study": work.recipe.sha256, "question": question_of(work).sha256, **changes}
    return ReadingFile(**told, rows=(row,))


def test_what_hospitals_hand_on_is_joined_by_their_patients(
    federated_run: RunDirectory, tmp_path: Path
) -> None:
    work = Workspace.open(federated_run.path)
    for site, accuracy in (("wien", 0.6), ("iberia", 0.8)):
        handed(federated_run, site, accuracy).write(RunDirectory(tmp_path), f"{site}.json")
        assert add_reading(work, tmp_path / f"{site}.json") == site
    found = EvaluationFile.read(federated_run)
    (row,) = [row for row in found.rows if row.group == "reading"]
    value = row.get("accuracy")
    assert value is not None
    assert value.value == pytest.approx(0.7)
    assert [part.site for part in row.per_site] == ["iberia", "wien"]
    assert "rows/reading" in (federated_run.path / "report.html").read_text()


@pytest.mark.parametrize(
    ("site", "change", "says"),
    [
        ("wien", {"study": "0" * 64}, "another study"),
        ("wien", {"question": "0" * 64}, "other images"),
        ("elsewhere", {}, "not in the model"),
        ("wien", {"group": "downstream"}, "other numbers"),
    ],
)
def test_what_is_of_something_else_is_not_taken_in(
    federated_run: RunDirectory, tmp_path: Path, site: str, change: dict[str, str], says: str
) -> None:
    handed(federated_run, site, 0.5, **change).write(RunDirectory(tmp_path), "row.json")
    before = EvaluationFile.read(federated_run)
    with pytest.raises(DataError, match=says):
        add_reading(Workspace.open(federated_run.path), tmp_path / "row.json")
    assert EvaluationFile.read(federated_run) == before
