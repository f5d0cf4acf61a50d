"""A run of which the plan expects nothing useful stops before a patient is charged, unless somebody wants it."""

from __future__ import annotations

import pytest
from rich.console import Console
from typer.testing import CliRunner

from fedgen.cli import agreed as asking
from fedgen.cli.agreed import advice, agreed, known_patients
from fedgen.cli.main import app
from fedgen.errors import PrivacyRefusedError
from fedgen.pipeline.runner import run_again, run_stages
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.stages import TRAIN
from fedgen.study.load import load_study

FAINT = {"epsilon": 0.02}
CALL = ["simulate", "demo", "--set", "model.family=latent", "--set", "privacy.epsilon=0.02"]


@pytest.fixture
def faint(tmp_path, tiny_study, direct, tiny_data):
    """`faint(**privacy)`: a run of data of which nobody knew how many patients there are."""

    def build(accepted=False, **privacy):
        study = tiny_study("latent", privacy={**FAINT, **privacy})
        return Simulation.create(study, None, tmp_path, accepted=accepted)

    return build


def charged(here) -> bool:
    return any((here.work.run.path / "sites").rglob("ledger.jsonl"))


def test_nothing_is_spent_and_the_same_run_goes_on_when_somebody_wants_it(faint, watcher) -> None:
    here = faint()
    with pytest.raises(PrivacyRefusedError, match=r"18 training patients of 2 sites.*give --yes"):
        run_stages(here, watcher.watcher)
    assert not charged(here)
    assert here.work.run.read_json("run.json")["status"] == "failed"
    again = Simulation.open(here.work.run.path, accepted=True)
    run_stages(again, watcher.watcher)
    assert charged(again)
    summary = again.work.run.read_json("run.json")
    assert summary["status"] == "done"
    # and whoever reads the result learns of it
    assert any("NOTHING USEFUL" in finding for finding in summary["findings"])
    assert "NOTHING USEFUL" in (again.work.run.path / "report.html").read_text()


def test_the_study_may_say_so_itself(faint) -> None:
    here = faint(accept_useless=True)
    run_again(here, TRAIN)
    assert charged(here)


def test_a_program_is_refused_before_a_run_is_made(tmp_path) -> None:
    done = CliRunner().invoke(app, [*CALL, "--out", str(tmp_path)])
    assert isinstance(done.exception, PrivacyRefusedError)
    assert "WARNING: NOTHING USEFUL" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked(monkeypatch, answer) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(asking.typer, "confirm", lambda question, default: answer)
    study = load_study("demo", ["model.family=latent", "privacy.epsilon=0.02"])
    patients = known_patients(study, None)
    console = Console(force_terminal=True)
    if answer:
        assert agreed(console, study, patients, yes=False)
    else:
        with pytest.raises(PrivacyRefusedError, match="nothing was spent"):
            agreed(console, study, patients, yes=False)


def test_nobody_is_asked_of_what_may_be_useful_or_of_what_nobody_knows(monkeypatch) -> None:
    monkeypatch.setattr(asking.typer, "confirm", lambda *_, **__: pytest.fail("asked"))
    fine = load_study("demo_gradients", ["model.family=latent"])
    assert not agreed(Console(), fine, known_patients(fine, None), yes=False)
    faint = load_study("demo_gradients", ["model.family=latent", "privacy.epsilon=0.02"])
    assert known_patients(faint, None, phantom=False) == ()
    assert not agreed(Console(), faint, (), yes=False)
    assert agreed(Console(), faint, (52,) * 4, yes=True)


def test_where_a_sum_would_do_better_than_gradients_a_sentence_says_so() -> None:
    few = ["privacy.epsilon=3", "model.family=vae"]
    study = load_study("demo_gradients", few)
    (said,) = advice("demo_gradients", few, study, (52,) * 4)
    assert said.startswith("NOTE: by a rule of thumb the family latent would do better for so few patients")
    # nobody is told of what nobody knows, of sums, of no privacy, and of patients who carry gradients
    assert advice("demo_gradients", few, study, ()) == []
    for other in (["model.family=latent"], ["model.family=vae", "privacy.mode=none"]):
        assert advice("demo_gradients", other, load_study("demo_gradients", other), (52,) * 4) == []
    many = ["model.family=vae"]
    assert advice("mnist", many, load_study("mnist", many), (13_500,) * 4) == []
