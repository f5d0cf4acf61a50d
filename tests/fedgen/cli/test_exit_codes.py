"""Every wrong call ends with its code and one sentence, and makes no traceback unless asked."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fedgen import __version__
from fedgen.cli.main import app
from fedgen.errors import DataError, FedgenError, PrivacyRefusedError, StudyError
from fedgen.families.registry import specs
from fedgen.pipeline.simulation import Simulation
from fedgen.study.load import load_study

runner = CliRunner()


def failed(*arguments: str) -> FedgenError:
    """The error a call ends with, which `run` turns into a sentence and a code (tested below in processes)."""
    result = runner.invoke(app, list(arguments))
    assert result.exception is not None, result.output
    assert isinstance(result.exception, FedgenError), result.output
    assert result.exit_code != 0
    return result.exception


def test_version() -> None:
    result = runner.invoke(app, ["version"])
    assert (result.exit_code, result.stdout) == (0, f"{__version__}\n")


def test_models_lists_every_family() -> None:
    result = runner.invoke(app, ["models"])
    assert result.exit_code == 0
    for name in specs():
        assert name in result.stdout


def test_no_command_shows_the_commands() -> None:
    result = runner.invoke(app, [])
    for command in (
        "simulate",
        "train",
        "synthesize",
        "audit",
        "evaluate",
        "report",
        "study",
        "data",
        "models",
    ):
        assert command in result.output


@pytest.mark.parametrize("arguments", [["fly"], ["simulate"], ["simulate", "demo", "--fast"], ["audit"]])
def test_a_wrong_call_is_a_usage_error(arguments) -> None:
    assert runner.invoke(app, arguments).exit_code == 2


def test_an_unknown_preset() -> None:
    error = failed("simulate", "dmeo")
    assert isinstance(error, StudyError)
    assert "demo" in str(error)


def test_a_key_that_does_not_exist() -> None:
    assert "training.round" in str(failed("simulate", "demo", "--set", "training.round=3"))


def test_secure_aggregation_of_two_sites_is_refused(tiny_file, tmp_path) -> None:
    out = str(tmp_path / "runs")
    error = failed("simulate", str(tiny_file), "--out", out, "--set", "aggregation.secure=true")
    assert isinstance(error, StudyError)
    assert "needs 3 sites, but the study has 2: invite more sites" in str(error)


def test_data_that_is_no_folder(tiny_file, tmp_path) -> None:
    error = failed("simulate", str(tiny_file), "--data", str(tiny_file), "--out", str(tmp_path / "runs"))
    assert isinstance(error, StudyError)
    assert "--data" in str(error)
    assert not (tmp_path / "runs").exists()


def test_a_run_is_not_resumed_with_other_data(tiny_file, tmp_path) -> None:
    Simulation.create(load_study(str(tiny_file)), None, tmp_path / "runs")
    other = tmp_path / "other"
    other.mkdir()
    out = str(tmp_path / "runs")
    error = failed("simulate", str(tiny_file), "--resume", "--out", out, "--data", str(other))
    assert error.exit_code == 2
    assert "leave --data away" in str(error)


def test_nothing_to_resume(tiny_file, tmp_path) -> None:
    error = failed("simulate", str(tiny_file), "--resume", "--out", str(tmp_path))
    assert isinstance(error, DataError)
    assert "start a new one" in str(error)


@pytest.mark.parametrize("command", ["train", "synthesize", "audit", "evaluate", "report"])
def test_a_stage_of_a_folder_that_is_no_run(tmp_path, command) -> None:
    error = failed(command, str(tmp_path))
    assert isinstance(error, DataError)
    assert "study.yaml" in str(error)


def status(folder) -> str:
    (run,) = folder.glob("tiny-*/run.json")
    return json.loads(run.read_text())["status"]


def test_sites_smaller_than_a_batch(tiny_file, tmp_path) -> None:
    error = failed("simulate", str(tiny_file), "--set", "training.batch_patients=30", "--out", str(tmp_path))
    assert isinstance(error, DataError)
    assert "training.batch_patients" in str(error)
    assert status(tmp_path) == "failed"


def test_a_delta_of_one_patient(tiny_file, tmp_path) -> None:
    error = failed("simulate", str(tiny_file), "--set", "privacy.delta=0.2", "--out", str(tmp_path))
    assert isinstance(error, PrivacyRefusedError)
    assert "privacy.delta" in str(error)
    assert status(tmp_path) == "failed"


def test_a_shell_sees_the_code_and_one_sentence(fedgen) -> None:
    outcome = fedgen("simulate", "dmeo")
    assert outcome.returncode == 2, outcome.stderr
    assert outcome.stderr.startswith("fedgen: There is no preset 'dmeo'")
    assert outcome.stderr.count("\n") == 1
    assert outcome.stdout == ""


@pytest.mark.slow
def test_a_refusal_deep_in_a_run(fedgen, tiny_file) -> None:
    outcome = fedgen("simulate", str(tiny_file), "--set", "privacy.delta=0.2")
    assert outcome.returncode == 3
    (line,) = [line for line in outcome.stderr.splitlines() if line]
    assert line.startswith("fedgen: privacy.delta is 0.2 but site Ashford")


def test_what_was_switched_off_is_said_aloud(tiny_file, tmp_path) -> None:
    outcome = runner.invoke(app, [
        "simulate", str(tiny_file), "--out", str(tmp_path / "runs"), "--set", "privacy.mode=none",
        "--set", "training.batch_patients=30", "--set", "privacy.allow_large_delta=true",
    ])  # fmt: skip
    assert isinstance(outcome.exception, DataError)
    warnings = [line for line in outcome.stdout.splitlines() if line.startswith("WARNING")]
    assert [line.split()[1] for line in warnings] == [
        "privacy.mode", "aggregation.secure", "privacy.allow_large_delta",
    ]  # fmt: skip
