"""Pretrain in the open, export, train privately from there, all weights or adapters; and what is refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.errors import DataError, PrivacyRefusedError, StudyError
from fedgen.pipeline.export import export
from fedgen.pipeline.runner import run_again, run_stages
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.stages import TRAIN
from fedgen.pipeline.workspace import Workspace
from fedgen.recipe import Recipe
from fedgen.run.checkpoint import latest_checkpoint
from fedgen.study.show import study_hash
from fedgen.training.vector import ParameterLayout
from fedgen_privacy.ledger import Ledger

VAE = {"family": "vae", "vae": {"channels": (4, 8), "latent_size": 4}}
PUBLIC = "Procedural phantom, no patients"
ONE = {"rounds": 1}


@pytest.fixture
def made(tmp_path, direct, tiny_data, tiny_study):
    """`made(name, privacy=..., start=exported, adapters=..., folder=...)`: a run that has trained one round."""

    def build(name, start=None, adapters=None, folder=None, trained=True, **sections):
        model = {**VAE, "adapters": adapters}
        if start is not None:
            model["pretrained"] = start.start.model_dump()
        study = tiny_study(study={"name": name}, model=model, training=ONE, **sections)
        here = Simulation.create(study, folder, tmp_path / "runs", None if start is None else start.path)
        if trained:
            run_again(here, TRAIN)
        return here.work

    return build


@pytest.fixture
def exported(made, tmp_path):
    """Weights of a phantom run without privacy."""
    return export(made("open", privacy={"mode": "none"}), tmp_path / "open.safetensors", PUBLIC)


def first(work) -> torch.Tensor:
    """The model of round 0, which every site starts from."""
    path = work.run.checkpoints / "round-00000.safetensors"
    return load_file(path)["model"]


def values(tensors) -> torch.Tensor:
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def test_all_weights_are_trained_from_the_exported_ones(made, exported) -> None:
    work = made("private", exported)
    layout = Recipe.of(work.study).plain_layout
    kept = load_file(exported.path)
    assert values(layout.tensors(first(work))).equal(values(kept))
    assert not values(layout.tensors(work.trained().model)).equal(values(kept))
    assert work.run.pretrained.read_bytes() == exported.path.read_bytes()
    told = work.run.read_json("privacy.json")
    assert told["start"] == {"sha256": exported.start.sha256, "source": f"{PUBLIC}."}
    assert "patients of this study, and not about the data its start was trained on" in told["statement"]
    assert told["statement"].endswith(f"{PUBLIC}.")
    assert exported.start.sha256 in told["statement"]
    assert work.run.read_json("run.json")["model"]["start"] == told["start"]
    assert Ledger(work.run.site("north") / "ledger.jsonl").spends()


def test_the_exported_weights_are_the_averaged_model(made, tmp_path) -> None:
    work = made("open", privacy={"mode": "none"})
    done = export(work, tmp_path / "open.safetensors", PUBLIC)
    layout = Recipe.of(work.study).plain_layout
    assert values(load_file(done.path)).equal(values(layout.tensors(work.trained().ema)))
    assert yaml.safe_load(done.yaml) == {"model": {"pretrained": done.start.model_dump()}}
    # the same run gives the same file
    assert export(work, tmp_path / "again.safetensors", PUBLIC).start == done.start


def test_adapters_alone_are_trained_and_the_whole_way_ends_in_a_report(
    made, exported, watcher, tmp_path
) -> None:
    work = made("adapted", exported, {"rank": 2, "alpha": 4.0}, trained=False)
    run_stages(Simulation(work), watcher.watcher)
    trained = latest_checkpoint(work.run.checkpoints, study_hash(work.study))
    assert trained.model.shape == (Recipe.of(work.study).layout.size,)
    assert trained.model.shape[0] < Recipe.of(work.study).plain_layout.size
    summary = work.run.read_json("run.json")
    assert summary["model"]["adapters"]["rank"] == 2
    assert summary["model"]["parameters"] == trained.model.shape[0]
    assert exported.start.sha256 in (work.run.path / "report.html").read_text()

    # what stands under the adapters is the file's, and they changed something
    networks = Workspace.open(work.run.path).recipe.family.networks()
    ParameterLayout.of(networks).load(networks, trained.ema)
    kept, changed = load_file(exported.path), load_file(export(work, tmp_path / "adapted.safetensors").path)
    frozen = dict(networks["vae"].named_parameters())
    assert all(torch.equal(frozen[name.removeprefix("vae/")], tensor) for name, tensor in kept.items())
    assert changed.keys() == kept.keys()
    weights = [name for name in kept if not torch.equal(changed[name], kept[name])]
    assert weights and all(name.endswith("weight") for name in weights)


def test_the_first_model_with_adapters_is_the_pretrained_one(made, exported) -> None:
    work = made("adapted", exported, {"rank": 2})
    merged = dict(work.networks(first(work))["vae"].named_parameters())
    for name, tensor in load_file(exported.path).items():
        assert torch.equal(merged[name.removeprefix("vae/")], tensor)


def test_a_resumed_run_needs_no_file_again(made, exported) -> None:
    work = made("private", exported, trained=False)
    exported.path.unlink()
    run_again(Simulation.open(work.run.path), TRAIN)
    assert work.checkpoint().round == 1


def test_a_run_whose_weights_are_gone_says_so(made, exported) -> None:
    work = made("private", exported, trained=False)
    work.run.pretrained.unlink()
    with pytest.raises(DataError, match=r"pretrained\.safetensors does not exist.*put that file there again"):
        run_again(Simulation(work), TRAIN)


def test_weights_of_the_same_sites_without_privacy_are_refused(made, tmp_path) -> None:
    (tmp_path / "images").mkdir()
    open_run = made("open", folder=tmp_path / "images", privacy={"mode": "none"})
    start = export(open_run, tmp_path / "open.safetensors", "A collection, CC BY")
    assert (start.origin.unprotected, start.origin.protected) == (("north", "south"), ())
    with pytest.raises(PrivacyRefusedError, match="WITHOUT privacy at north, south"):
        made("private", start)
    again = made("also-open", start, privacy={"mode": "none"})
    # nor is a phantom's run a way around: who was in the first start is in the second
    later = export(again, tmp_path / "later.safetensors", PUBLIC)
    with pytest.raises(PrivacyRefusedError, match="WITHOUT privacy at north, south"):
        made("private", later)


def test_a_private_run_is_exported_with_its_epsilon(made, tmp_path) -> None:
    (tmp_path / "images").mkdir()
    work = made("private", folder=tmp_path / "images")
    start = export(work, tmp_path / "private.safetensors")
    epsilon = work.run.read_json("privacy.json")["epsilon"]
    stated = float(start.start.source.partition("trained with (")[2].partition(",")[0])
    assert epsilon <= stated < epsilon + 0.01
    assert (start.origin.mode, start.origin.public) == ("local", False)
    assert (start.origin.unprotected, start.origin.protected) == ((), ("north", "south"))
    # for patients who are in both the two add up, and the second run says so
    later = made("later", start)
    assert any(
        "north, south" in limit and "add up" in limit
        for limit in later.run.read_json("privacy.json")["limits"]
    )
    # and a third one names both starts
    third = export(later, tmp_path / "third.safetensors")
    assert third.start.source.endswith(f"It started from other weights itself: {start.start.source}")


def test_a_run_without_privacy_is_exported_only_as_public(made, tmp_path) -> None:
    work = made("open", privacy={"mode": "none"})
    with pytest.raises(PrivacyRefusedError, match="--public"):
        export(work, tmp_path / "open.safetensors")
    with pytest.raises(StudyError, match="one sentence"):
        export(work, tmp_path / "open.safetensors", "two\nlines")
    with pytest.raises(StudyError, match=r"\.safetensors"):
        export(work, tmp_path / "open.pt", PUBLIC)
    assert not list(tmp_path.glob("open.*"))
    (tmp_path / "open.safetensors").touch()
    with pytest.raises(StudyError, match="exists"):
        export(work, tmp_path / "open.safetensors", PUBLIC)


def test_an_unfinished_run_is_not_exported(made, tmp_path) -> None:
    with pytest.raises(DataError, match="0 of 1 rounds"):
        export(made("open", trained=False, privacy={"mode": "none"}), tmp_path / "open.safetensors", PUBLIC)


def test_a_file_is_given_where_it_is_asked_for_and_nowhere_else(made, exported, tiny_study, tmp_path) -> None:
    with pytest.raises(StudyError, match=r"has no model\.pretrained"):
        Simulation.create(tiny_study(), None, tmp_path / "new", exported.path)
    asked = made("private", exported, trained=False).study
    with pytest.raises(StudyError, match="give their file with --pretrained"):
        Simulation.create(asked, None, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def invoke(*arguments: object) -> SimpleNamespace:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return SimpleNamespace(code=result.exit_code, out=result.output, error=result.exception)


@pytest.mark.slow
def test_the_commands(made, tmp_path) -> None:
    """export prints lines that, pasted into a study, pass `study check` and start a run; train takes a file later."""
    work = made("open", privacy={"mode": "none"})
    out = tmp_path / "open.safetensors"
    assert isinstance(invoke("export", work.run.path, "--out", out).error, PrivacyRefusedError)
    printed = invoke("export", work.run.path, "--out", out, "--public", PUBLIC)
    assert printed.code == 0
    values = json.loads(json.dumps(yaml.safe_load(work.run.study.read_text())))
    values["model"] |= yaml.safe_load(printed.out)["model"] | {"adapters": {"rank": 2}}
    values["study"]["name"], values["privacy"]["mode"] = "private", "local"
    file = tmp_path / "private.yaml"
    file.write_text(yaml.safe_dump(values))
    checked = invoke("study", "check", file)
    assert f"{PUBLIC}." in checked.out
    study = Workspace.open(work.run.path).study
    assert f"the network's {Recipe.of(study).plain_layout.size} being frozen" in checked.out.replace(
        "\n", " "
    )

    runs = tmp_path / "other"
    missing = invoke("simulate", file, "--out", runs)
    assert missing.error.exit_code == 2 and not runs.exists()
    done = invoke("simulate", file, "--out", runs, "--pretrained", out)
    assert done.code == 0, done.out
    (run,) = runs.glob("private-*")
    (run / "pretrained.safetensors").unlink()
    assert invoke("synthesize", run).error.exit_code == 4
    assert invoke("train", run, "--pretrained", out).code == 0
    assert Recipe.of(Workspace.open(run).study).read_start(run / "pretrained.safetensors") is not None
