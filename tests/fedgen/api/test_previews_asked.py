"""How much of the rounds' time pictures of the training may take is said where a run is started, and kept there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

import fedgen
from fedgen.cli.main import app
from fedgen.errors import DataError, StudyError
from fedgen.run.directory import RunDirectory
from fedgen.run.preview_file import preview_percent


def test_no_run_is_made_for_what_is_no_share(tiny_study: Any, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="previews is 200 percent"), pytest.warns(match="secure is off"):
        fedgen.simulate(tiny_study(), out=tmp_path / "runs", previews=200)
    assert not (tmp_path / "runs").exists()


def test_the_command_keeps_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*given: Any) -> None:
        raise DataError("Enough.")

    monkeypatch.setattr("fedgen.pipeline.runner.run_stages", stops)
    asked = ["simulate", "demo_gradients", "--yes", "--out", str(tmp_path), "--previews"]
    assert isinstance(CliRunner().invoke(app, [*asked, "0"]).exception, DataError)
    (path,) = tmp_path.iterdir()
    assert preview_percent(RunDirectory(path)) == 0
    # Whoever goes on with it need not say it again.
    again = CliRunner().invoke(app, [*asked[:-1], "--resume"])
    assert isinstance(again.exception, DataError) and preview_percent(RunDirectory(path)) == 0
    assert CliRunner().invoke(app, [*asked, "101"]).exit_code == 2


def test_a_coordinators_run_keeps_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedgen_server.cli.operate import _conduct

    def stops(*given: Any) -> None:
        raise DataError("Enough.")

    monkeypatch.setattr("fedgen_server.conduct.conduct", stops)
    with pytest.raises(DataError):
        _conduct(Console(), None, SimpleNamespace(run=str(tmp_path)), 1.0, previews=20)  # type: ignore[arg-type]
    assert preview_percent(RunDirectory(tmp_path)) == 20
