"""Runs on the disk: each with what became of it, and none removed whose ledger or release is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.errors import StudyError
from fedgen.pipeline.kept_runs import KeptRuns, kept_runs, remove_run
from fedgen.run.directory import RunDirectory
from fedgen.run.source_file import SourceFile
from fedgen.run.summary import DataEntry, RunSummary
from fedgen.study.load import load_study
from fedgen.study.show import dump_study

#: What was done to a run, and whether it must stay.
RUNS: dict[str, tuple[dict[str, Any], bool]] = {
    "made-up": ({}, False),
    "failed": ({"status": "failed"}, False),
    "patients": ({"source": "/data/chest", "charged": True}, True),
    "never-charged": ({"source": "/data/chest", "status": "failed"}, False),
    "released": ({"release": True}, True),
    "at-work": ({"status": "running"}, True),
    "federation": ({"federated": True}, True),
    "no-source": ({"no_source": True}, True),
    "damaged": ({"damaged": True}, True),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a run of each kind, and what is no run."""
    study = dump_study(load_study("demo"))
    for name, (how, _) in RUNS.items():
        run = RunDirectory(tmp_path / "runs" / name)
        (run.path / "data").mkdir(parents=True)
        run.study.write_text(study)
        (run.path / "samples").write_bytes(bytes(20_000))
        source = "federation" if how.get("federated") else "folder" if how.get("source") else "phantom"
        RunSummary(status=how.get("status", "done"), study="demo", data=DataEntry(source=source)).write(run)
        if not how.get("no_source"):
            SourceFile(source=how.get("source")).write(run)
        ledger = run.site("north") / "ledger.jsonl"
        ledger.parent.mkdir(parents=True)
        ledger.write_text("{}\n" if how.get("charged") or not how.get("source") else "")
        if how.get("release"):
            (run.path / "release").mkdir()
        if how.get("damaged"):
            (run.path / "run.json").write_text("{")
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "study.yaml").write_text(study)
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "elsewhere")
    return tmp_path / "runs"


def test_each_is_listed_with_what_it_needs(folder: Path) -> None:
    found = kept_runs(folder)
    assert {run.run: run.needed is not None for run in found.runs} == {
        name: needed for name, (_, needed) in RUNS.items()
    }
    assert all(run.size >= 20_000 for run in found.runs)
    assert found.size == sum(run.size for run in found.runs) > found.prunable > 0
    assert next(run.status for run in found.runs if run.run == "damaged") == "damaged"


def test_what_is_needed_survives_whoever_asks(folder: Path, tmp_path: Path) -> None:
    for name, (_, needed) in RUNS.items():
        if needed:
            with pytest.raises(StudyError, match="is kept: "):
                remove_run(folder, name)
    for name in ("notes", "link", "../elsewhere", "absent", ""):
        with pytest.raises(StudyError, match="is no run"):
            remove_run(folder, name)
    assert {path.name for path in folder.iterdir()} == {*RUNS, "notes", "link"}
    assert (tmp_path / "elsewhere" / "study.yaml").exists()


def test_prune_asks_and_removes_the_others(folder: Path) -> None:
    def call(*arguments: str, **options: Any) -> Any:
        return CliRunner().invoke(app, ["runs", str(folder), *arguments], **options)

    before = {path.name for path in folder.iterdir()}
    told = KeptRuns.model_validate_json(call("--json").stdout)
    assert told == kept_runs(folder)
    assert "`fedgen runs --prune` would free" in call().output
    # A program cannot be asked.
    assert isinstance(call("--prune").exception, StudyError)
    assert {path.name for path in folder.iterdir()} == before
    done = call("--prune", "--yes")
    assert done.exit_code == 0, done.output
    assert "patients is kept: its ledgers are the only record" in done.output
    assert {path.name for path in folder.iterdir()} == {
        *(name for name, (_, needed) in RUNS.items() if needed),
        "notes",
        "link",
    }
    assert kept_runs(folder).prunable == 0
    assert "Nothing can be removed" in call("--prune", "--yes").output


def test_no_folder_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is no folder"):
        kept_runs(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert json.loads(kept_runs(tmp_path / "empty").model_dump_json())["runs"] == []
