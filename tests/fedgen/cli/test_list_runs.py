"""`fedgen runs` where somebody names the wrong folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.errors import StudyError


@pytest.mark.parametrize("option", [(), ("--json",), ("--prune",)])
def test_a_run_is_no_folder_of_runs(tmp_path: Path, option: tuple[str, ...]) -> None:
    """Listed as empty, a folder of many megabytes would seem to be gone."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "study.yaml").write_text("study: {name: early}\n")
    called = CliRunner().invoke(app, ["runs", str(tmp_path / "one"), *option])
    assert isinstance(called.exception, StudyError)
    assert f"is itself a run: name the folder that it is in, {tmp_path}." in str(called.exception)


def test_a_folder_without_runs_is_said_so(tmp_path: Path) -> None:
    for option in ((), ("--prune",)):
        called = CliRunner().invoke(app, ["runs", str(tmp_path), *option])
        assert called.exit_code == 0
        assert " ".join(called.output.split()) == f"There is no run in {tmp_path}."
