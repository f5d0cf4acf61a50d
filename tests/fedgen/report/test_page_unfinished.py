"""The page of a run that is not whole: what is missing is named, what is damaged is one sentence."""

from __future__ import annotations

import errno
import tempfile
from typing import Any

import pytest

from fedgen.errors import DataError, StudyError
from fedgen.report.page import write_report
from fedgen.run.directory import RunDirectory
from tests.fedgen.report.read_page import change, page_of


@pytest.mark.parametrize("name", ["audit.json", "evaluation.json", "privacy.json", "run.json"])
def test_a_file_of_another_version_is_refused_and_not_misread(finished_run: RunDirectory, name: str) -> None:
    change(finished_run, name, lambda value: value.pop("version"))
    with pytest.raises(DataError, match=rf"{name} has the form of a version before 2"):
        write_report(finished_run)


@pytest.mark.parametrize(
    ("gone", "stage", "sentence"),
    [
        ("privacy.json", "train", "No privacy record."),
        ("audit.json", "assess", "The audit has not run."),
        ("evaluation.json", "assess", "The evaluation has not run."),
        ("events.jsonl", "train", "No finished round."),
        ("run.json", "train", "No sites recorded."),
    ],
)
def test_a_missing_stage_is_named(finished_run: RunDirectory, gone: str, stage: str, sentence: str) -> None:
    (finished_run.path / gone).unlink()
    page = page_of(finished_run)
    assert page.open == []
    assert sentence in page.text
    assert f"These stages have not run, or not finished: {stage}." in page.text


def test_a_run_that_only_has_a_study_names_every_stage(tmp_path: Any) -> None:
    run = RunDirectory(tmp_path)
    run.study.write_text("study: {name: early}\n")
    page = page_of(run)
    assert page.open == []
    assert "train, synthesize, assess" in page.text
    assert "NOT AUDITED" in page.text
    assert "fedgen synthesize" in page.text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Any) -> None:
    with pytest.raises(DataError, match="not a run directory"):
        write_report(RunDirectory(tmp_path))


def test_an_unfinished_run_says_so(finished_run: RunDirectory) -> None:
    change(finished_run, "run.json", lambda value: value.update(status="failed"))
    assert "This run is not finished." in page_of(finished_run).text


def test_a_last_line_cut_short_is_expected_but_a_broken_one_is_not(finished_run: RunDirectory) -> None:
    text = finished_run.events.read_text()
    finished_run.events.write_text(text + '{"event": "rou')
    write_report(finished_run)
    finished_run.events.write_text('{"event": "rou\n' + text)
    with pytest.raises(DataError, match=r"line 1 is damaged.*restore the file"):
        write_report(finished_run)


@pytest.mark.parametrize("name", ["audit.json", "study.yaml"])
def test_a_damaged_file_is_one_sentence(finished_run: RunDirectory, name: str) -> None:
    (finished_run.path / name).write_text("{: [")
    with pytest.raises((DataError, StudyError), match=name):
        write_report(finished_run)


def test_a_full_disk_is_one_sentence(finished_run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(DataError, match="disk is full"):
        write_report(finished_run)
