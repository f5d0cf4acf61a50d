"""The command: exit 0 with a closing sentence, exit 6 with the failed checks by name, and JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from fedgen.cli.selftest import selftest as command
from fedgen.errors import ExitCode, GateError, StudyError
from fedgen.selftest import run
from fedgen.selftest.faults import SHARED_FAULTS, Fault
from fedgen.selftest.run import Caught, Result, selftest
from fedgen.selftest.subject import private_families

app = typer.Typer()
app.command()(command)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One check of each kind and two faults: the rest has tests of its own."""
    monkeypatch.setattr(run, "FAMILY_CHECKS", run.FAMILY_CHECKS[:1])
    monkeypatch.setattr(run, "BACKEND_CHECKS", ())
    monkeypatch.setattr(run, "BACKEND_FAULTS", ())
    monkeypatch.setattr(run, "SHARED_CHECKS", (run.noise,))
    monkeypatch.setattr(run, "FAMILY_FAULTS", [f for f in run.FAMILY_FAULTS if f.name == "BatchNorm"])
    monkeypatch.setattr(run, "SHARED_FAULTS", [f for f in SHARED_FAULTS if f.name == "noise x 0.3"])


def plant_in_installed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make the fault part of what is installed."""
    (fault,) = (fault for fault in SHARED_FAULTS if fault.name == name)
    real = run.installed
    monkeypatch.setattr(run, "installed", lambda family, device: fault.plant(real(family, device)))


@pytest.mark.usefixtures("quick")
def test_what_is_installed_passes_in_one_sentence() -> None:
    outcome = CliRunner().invoke(app, ["--family", "vae", "--faults"])
    assert outcome.exit_code == ExitCode.DONE, outcome.output
    assert "All 2 checks passed, and each of 2 planted faults was caught" in outcome.stdout
    assert "BatchNorm" in outcome.stdout


@pytest.mark.usefixtures("quick")
def test_a_failed_check_is_named_and_gives_the_gates_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_in_installed(monkeypatch, "noise x 0.3")
    outcome = CliRunner().invoke(app, ["--family", "vae"])
    assert isinstance(outcome.exception, GateError)
    assert outcome.exception.exit_code == ExitCode.GATE == 6
    assert "noise (all)" in str(outcome.exception)
    assert "FAIL" in outcome.stdout


@pytest.mark.usefixtures("quick")
def test_json_is_one_document_and_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads(CliRunner().invoke(app, ["--family", "gan", "--faults", "--json"]).stdout)
    assert document["passed"] is True
    assert {finding["check"] for finding in document["findings"]} == {"patients are independent", "noise"}
    assert {fault["fault"] for fault in document["faults"]} == {"BatchNorm", "noise x 0.3"}
    plant_in_installed(monkeypatch, "noise x 0.3")
    outcome = CliRunner().invoke(app, ["--family", "gan", "--json"])
    assert isinstance(outcome.exception, GateError)
    assert json.loads(outcome.stdout)["passed"] is False


@pytest.mark.usefixtures("quick")
def test_a_fault_that_goes_unnoticed_fails_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    harmless = Fault("nothing at all", lambda subject: replace(subject))
    monkeypatch.setattr(run, "SHARED_FAULTS", [harmless])
    result = selftest(["vae"], faults=True)
    assert result.missed == (Caught("nothing at all", "all", ()),)
    with pytest.raises(GateError, match="nothing at all"):
        result.require()


@pytest.mark.parametrize("families", [[], ["vqvae"]])
def test_a_family_that_is_not_there_is_refused(families: list[str]) -> None:
    with pytest.raises(StudyError, match="choose from " + ", ".join(private_families())):
        selftest(families)


def test_a_device_that_is_not_there_is_refused() -> None:
    outcome = CliRunner().invoke(app, ["--device", "quantum"])
    assert isinstance(outcome.exception, StudyError)


def test_without_faults_nothing_is_said_about_them() -> None:
    assert Result((), ()).sentence == "All 0 checks passed."
