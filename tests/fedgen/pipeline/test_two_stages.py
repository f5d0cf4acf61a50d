"""A sum first, then DP-SGD from weights pretrained on its samples, by the commands of the how-to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.data.phantom.write import write_phantom
from fedgen.errors import DataError, PrivacyRefusedError
from fedgen.pipeline import runner
from fedgen.pipeline.stages import ASSESS, RELEASE, STAGES
from fedgen.run.directory import RunDirectory
from fedgen.run.release_card import ReleaseCard
from fedgen.study.data import Phantom
from fedgen.training.pretrained import Origin

HOW_TO = Path(__file__).parents[3] / "docs/how-to/pretrain-and-fine-tune.md"
SMALL = {
    "data.image_size": "[16, 16]",
    "model.vae": "{channels: [4, 8], latent_size: 4}",
    "training.rounds": "1",
    "training.local_steps": "2",
    "training.batch_patients": "4",
    "synthesis.images": "40",
    "evaluation": "{seeds: 1, steps: 2, bootstrap: 100, extractors: [radiomics]}",
    "audit.bootstrap": "100",
    "aggregation.secure": "false",
}


@pytest.fixture
def command(tmp_path, direct, monkeypatch):
    """`command("simulate", "demo_gradients", ...)`: its output; the run folder that a simulation made comes with it."""
    monkeypatch.chdir(tmp_path)
    # What is judged at the end of each run is tested elsewhere, and takes longest.
    stages = tuple(stage for stage in STAGES if stage not in (ASSESS, RELEASE))
    monkeypatch.setattr(runner, "stages_of", lambda work: stages)

    def call(*arguments: str, small: bool = True, **changes: str) -> str:
        settings = {**SMALL, **changes} if small else changes
        if settings.get("model.family", "vae") != "vae":
            del settings["model.vae"]
        extra = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        result = CliRunner().invoke(app, [*arguments, *extra])
        if result.exception is not None:
            raise result.exception
        return result.output

    return call


@pytest.fixture
def hospitals(tmp_path):
    """A folder of three hospitals, whose names stand for patients: nothing says that it is a phantom."""
    write_phantom(tmp_path / "hospitals", Phantom(sites=3, patients=16), 3, size=(32, 32))
    return tmp_path / "hospitals"


def newest(name: str) -> RunDirectory:
    return RunDirectory(max(Path("runs").glob(f"{name}-*")))


@pytest.mark.slow
def test_the_whole_way(command, hospitals) -> None:
    data = ("--data", str(hospitals))
    first = {"study.name": "first", "privacy.epsilon": "5", "model.family": "latent"}
    command("simulate", "demo_gradients", *data, **first)
    run = newest("first")
    sites = tuple(sorted(path.name for path in (run.path / "sites").iterdir()))
    card = ReleaseCard.read(run)
    assert (card.mode, card.protected, card.unprotected) == ("local", sites, ())
    assert card.epsilon == run.read_json("privacy.json")["epsilon"] <= 5

    command("simulate", "samples_pretrain", "--data", str(run.samples))
    pretrained = newest("samples-pretrain")
    # no --public: what a private run has released may be trained on and passed on
    printed = command("export", str(pretrained.path), "--out", "samples.safetensors", small=False)
    start = yaml.safe_load(printed)["model"]["pretrained"]
    assert (
        f"Trained on synthetic images of the run first at {', '.join(sites)}, which were made with ("
        in start["source"]
    )
    with safe_open("samples.safetensors", framework="pt") as file:
        (text,) = file.metadata().values()
    origin = Origin.model_validate_json(text)
    assert (origin.mode, origin.public, origin.protected, origin.unprotected) == ("local", False, sites, ())

    then = {"study.name": "then", "privacy.epsilon": "10", "model.pretrained": str(start)}
    command("simulate", "demo_gradients", *data, "--pretrained", "samples.safetensors", **then)
    limits = " ".join(newest("then").read_json("privacy.json")["limits"])
    assert (
        f"trained privately at {', '.join(sites)} too: for patients who were in both, the epsilons" in limits
    )


def test_of_images_without_privacy_nothing_becomes_public(command, hospitals) -> None:
    open_ = {"study.name": "open", "privacy.mode": "none", "model.family": "latent"}
    command("simulate", "demo_gradients", "--data", str(hospitals), **open_)
    run = newest("open")
    card = ReleaseCard.read(run)
    assert card.protected == () and len(card.unprotected) == 3
    command("simulate", "samples_pretrain", "--data", str(run.samples))
    pretrained = str(newest("samples-pretrain").path)
    with pytest.raises(PrivacyRefusedError, match="trained WITHOUT differential privacy"):
        command("export", pretrained, "--out", "open.safetensors", small=False)
    # whoever declares it public all the same cannot hide at which sites: a private study there refuses it
    printed = command("export", pretrained, "--out", "open.safetensors", "--public", "a lie", small=False)
    start = yaml.safe_load(printed)["model"]["pretrained"]
    assert "had NO differential privacy" in start["source"]
    with pytest.raises(PrivacyRefusedError, match="WITHOUT privacy at"):
        command(
            "simulate", "demo_gradients", "--data", str(hospitals), "--pretrained", "open.safetensors",
            **{"model.pretrained": str(start)},
        )  # fmt: skip

    # a card vouches for the files it was written for, and for no others
    (first, *_) = sorted(run.samples.glob("*.png"))
    first.write_bytes(b"a patient's image")
    with pytest.raises(DataError, match="of other images than those that are there now"):
        command("simulate", "samples_pretrain", "--data", str(run.samples))
    first.unlink()
    with pytest.raises(DataError, match="no whole set of synthetic images"):
        command("simulate", "samples_pretrain", "--data", str(run.samples))


def test_the_how_to_has_these_commands() -> None:
    text = HOW_TO.read_text(encoding="utf-8").partition("## 5.")[2]
    lines = " ".join(re.findall(r"```\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    for words in (
        "model.family=latent",
        "simulate samples_pretrain --data runs/",
        "fedgen export",
        "--pretrained samples",
    ):
        assert words in lines, words
