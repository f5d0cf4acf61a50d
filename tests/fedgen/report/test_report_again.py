"""A report written anew: what it says of the run, and what it does not wait for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.report.report_again import report_again
from fedgen.run.directory import RunDirectory
from fedgen.run.events import StageBegun
from fedgen.run.summary import RunSummary, update_summary
from fedgen.run_view import RunView

REPO = Path(__file__).parents[3]
SLOW = ["torch", "monai", "opacus", "flwr", "ray", "scipy", "matplotlib", "numpy"]
PROGRAM = f"""
import json, sys
import fedgen
fedgen.open_run(sys.argv[1]).again("report", progress=False)
print(json.dumps([name for name in {SLOW} if name in sys.modules]))
"""


def test_it_says_how_the_run_stands(finished_run: RunDirectory) -> None:
    update_summary(finished_run, RunSummary(status="failed"))
    before = RunSummary.read(finished_run).timings.get("report", 0.0)
    report_again(finished_run)
    assert RunSummary.read(finished_run).status == "done"
    assert RunSummary.read(finished_run).timings["report"] >= before
    last = RunView(finished_run).events_so_far[-1]
    assert isinstance(last, StageBegun) and last.stage == "report"
    assert "This run is not finished" not in (finished_run.path / "report.html").read_text(encoding="utf-8")


def test_a_run_without_a_product_is_not_done(finished_run: RunDirectory) -> None:
    for gone in ("evaluation.json", "samples/synthetic.safetensors"):
        kept = (finished_run.path / gone).read_bytes()
        (finished_run.path / gone).unlink()
        update_summary(finished_run, RunSummary(status="failed"))
        report_again(finished_run)
        assert RunSummary.read(finished_run).status == "failed", gone
        (finished_run.path / gone).write_bytes(kept)


def test_of_a_run_that_has_not_begun_nothing_is_noted(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.study.write_text("study: {name: early}\n")
    report_again(run)
    assert {path.name for path in tmp_path.iterdir()} == {"study.yaml", "report.html"}


def test_the_command_says_what_it_does(finished_run: RunDirectory) -> None:
    shown = CliRunner().invoke(app, ["report", str(finished_run.path)])
    assert (shown.exit_code, shown.output) == (0, "Writing the report\n")


def test_nothing_that_trains_or_draws_is_loaded(finished_run: RunDirectory) -> None:
    path = os.pathsep.join(str(REPO / folder) for folder in (".", "privacy"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(finished_run.path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []
