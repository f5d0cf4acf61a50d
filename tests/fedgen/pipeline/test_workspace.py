"""What a stage finds in a run folder, and what it says where something is missing."""

from __future__ import annotations

import pytest
import torch

from fedgen.errors import DataError, StudyError
from fedgen.pipeline.runner import run_again
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.stages import ASSESS, SYNTHESIZE, TRAIN
from fedgen.pipeline.workspace import Workspace
from fedgen.recipe import Recipe
from fedgen.run.checkpoint import save_checkpoint


def test_a_new_run_holds_its_study_and_source(tmp_path, tiny_study) -> None:
    here = Simulation.create(tiny_study(), tmp_path / "images", tmp_path / "runs")
    work = here.work
    assert Workspace.open(work.run.path).study == tiny_study()
    assert here.folder == tmp_path / "images"
    summary = work.run.read_json("run.json")
    assert (summary["status"], summary["study"], summary["seed"]) == ("running", "tiny", 5)


def test_a_folder_that_is_no_run(tmp_path) -> None:
    with pytest.raises(DataError, match="is not a run folder"):
        Workspace.open(tmp_path)


def test_a_run_of_an_incompatible_version(tmp_path) -> None:
    (tmp_path / "study.yaml").write_text("study: {name: old}\nmagic: 1\naggregation: {secure: false}\n")
    with pytest.raises(StudyError, match="magic"):
        Workspace.open(tmp_path)


@pytest.mark.parametrize("stage", [SYNTHESIZE, ASSESS])
def test_a_stage_before_training_has_finished_says_so(simulation, stage) -> None:
    here = simulation()
    with pytest.raises(DataError, match=r"has finished 0 of 2 rounds: train it to its end first"):
        run_again(here, stage)
    save_checkpoint(here.work.run.checkpoints, here.work.recipe.initial_checkpoint())
    with pytest.raises(DataError, match="finished 0 of 2 rounds"):
        run_again(here, stage)


def test_an_assessment_before_there_are_samples(simulation) -> None:
    here = simulation()
    run_again(here, TRAIN)
    with pytest.raises(DataError, match="run the stage synthesize first"):
        run_again(here, ASSESS)


def test_too_small_a_cohort_is_refused_before_anything_starts(simulation, monkeypatch) -> None:
    monkeypatch.setattr(
        "fedgen.pipeline.simulation.reach_virtual_sites", lambda *_: pytest.fail("training started")
    )
    with pytest.raises(
        DataError, match=r"9 training patients but training\.batch_patients asks for batches of 10"
    ):
        run_again(simulation(training={"batch_patients": 10, "rounds": 2}), TRAIN)


def test_networks_hold_the_weights_given(simulation) -> None:
    work = simulation().work
    weights = Recipe.of(work.study).initial_checkpoint().model + 1
    state = torch.random.get_rng_state()
    networks = work.networks(weights)
    assert torch.equal(torch.cat([p.flatten() for p in networks["vae"].parameters()]), weights)
    assert not any(module.training for module in networks["vae"].modules())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_device_that_is_not_there_makes_no_run(tmp_path, tiny_study) -> None:
    with pytest.raises(StudyError, match=r"^training\.device asks for cuda:77, but this machine has cpu"):
        Simulation.create(tiny_study(training={"device": "cuda:77"}), None, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_run_resumed_without_its_device_charges_nobody(simulation) -> None:
    here = simulation()
    work = here.work
    file = work.run.study
    file.write_text(file.read_text().replace("device: cpu", "device: cuda:77"))
    moved = simulation(here)
    with pytest.raises(StudyError, match=r"training\.device asks for cuda:77"):
        run_again(moved, TRAIN)
    with pytest.raises(StudyError, match=r"training\.device asks for cuda:77"):
        moved.work.networks(Recipe.of(moved.work.study).initial_checkpoint().model)
    assert not list(work.run.path.rglob("ledger.jsonl"))
