"""A published bundle becomes a file that a study starts from, with its source and licence; nothing of it runs."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
import yaml
from monai.networks.nets import DiffusionModelUNet
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.errors import DataError, PrivacyRefusedError, StudyError
from fedgen.pipeline.pretrained_start import refuse_same_patients
from fedgen.recipe import Recipe
from fedgen.study.show import dump_study
from fedgen.training.pretrained import read_pretrained

METADATA = {"name": "Faces", "version": "1", "description": "Draws faces", "data_source": "CC0 faces"}
SMALL = {
    "diffusion": {"channels": (8, 8), "attention": (False, True), "residual_blocks": 1},
}


@pytest.fixture
def study(tiny_study):
    return tiny_study(model={"family": "diffusion", **SMALL}, privacy={"mode": "none"})


@pytest.fixture
def bundle(study, tmp_path):
    """A bundle of MONAI's UNet as it is in the study's network, with other weights; its state and its place."""
    (network,) = Recipe.of(study).blank_networks().values()
    path, unet = next((n, m) for n, m in network.named_modules() if isinstance(m, DiffusionModelUNet))
    torch.manual_seed(3)
    state = {name: torch.randn_like(p) for name, p in unet.named_parameters()}
    root = tmp_path / "faces"
    for folder in ("configs", "models"):
        (root / folder).mkdir(parents=True)
    (root / "configs/metadata.json").write_text(json.dumps(METADATA))
    (root / "LICENSE").write_text("Apache License\nVersion 2.0")
    torch.save(state, root / "models/model.pt")
    (root / "models/model.ts").write_bytes(b"PK")
    return SimpleNamespace(root=root, state=state, place=f"unet/{path}")


@pytest.fixture
def invoke(study, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(dump_study(study))

    def call(source, *arguments, out="start.safetensors"):
        words = ["import", source, "--study", file, "--out", tmp_path / out, *arguments]
        result = CliRunner().invoke(app, [str(word) for word in words])
        return SimpleNamespace(code=result.exit_code, out=result.output, error=result.exception)

    return call


def rest(study, bundle) -> list[str]:
    names = [name for name, _ in Recipe.of(study).plain_layout.entries]
    return [name for name in names if not name.startswith(f"{bundle.place}.")]


def allowed(names) -> list[str]:
    return [word for name in names for word in ("--allow-missing", name)]


def test_a_bundle_of_monai_becomes_a_start(study, bundle, invoke, tmp_path) -> None:
    missing = rest(study, bundle)
    refused = invoke(bundle.root)
    assert isinstance(refused.error, DataError) and f"{len(missing)} of the study's" in str(refused.error)
    assert f"place is {bundle.place}" in str(refused.error) and not (tmp_path / "start.safetensors").exists()

    done = invoke(bundle.root, *allowed(missing))
    assert done.code == 0, done.error
    assert f"models/model.pt fills {bundle.place}" in done.out
    assert f"{len(missing)} parameters that start as the study's seed draws them" in done.out
    start = yaml.safe_load(done.out)["model"]["pretrained"]
    assert start["source"] == (
        "The MONAI bundle Faces 1: Draws faces; CC0 faces (Apache-2.0). "
        f"{len(missing)} of {len(Recipe.of(study).plain_layout.entries)} parameters are not from it, but random."
    )

    asked = study.model_validate(
        {**study.model_dump(), "model": {**study.model.model_dump(), "pretrained": start}}
    )
    found = Recipe.of(asked).read_start(tmp_path / "start.safetensors")
    for name, tensor in bundle.state.items():
        assert found.weights[f"{bundle.place}.{name}"].equal(tensor)
    drawn = Recipe.of(study).drawn()
    assert all(found.weights[name].equal(drawn[name]) for name in missing)
    assert found.origin.public and found.origin.unprotected == ()
    # the same bundle gives the same file
    assert (
        yaml.safe_load(invoke(bundle.root, *allowed(missing), out="again.safetensors").out)["model"][
            "pretrained"
        ]
        == start
    )


def test_a_file_alone_needs_a_source_and_a_licence(study, bundle, invoke, tmp_path) -> None:
    file, missing = bundle.root / "models/model.pt", allowed(rest(study, bundle))
    assert "(--source)" in str(invoke(file, *missing).error)
    assert "(--licence)" in str(invoke(file, *missing, "--source", "faces").error)
    done = invoke(file, *missing, "--source", "Faces of nobody.", "--licence", "CC0-1.0")
    start = yaml.safe_load(done.out)["model"]["pretrained"]
    assert start["source"].startswith("The file model.pt: Faces of nobody (CC0-1.0).")


def test_patients_that_are_known_to_be_in_it_are_protected(
    study, bundle, invoke, tmp_path, tiny_study
) -> None:
    done = invoke(bundle.root, *allowed(rest(study, bundle)), "--site", "north")
    sha256 = yaml.safe_load(done.out)["model"]["pretrained"]["sha256"]
    found = read_pretrained(sha256, Recipe.of(study).plain_layout, tmp_path / "start.safetensors")
    private = tiny_study("diffusion")
    with pytest.raises(PrivacyRefusedError, match="WITHOUT privacy at north"):
        refuse_same_patients(private, found.origin, ["north", "south"])
    refuse_same_patients(private, found.origin, ["south"])


def test_which_file_of_several_is_asked_for(study, bundle, invoke, tmp_path) -> None:
    (bundle.root / "models/autoencoder.pt").write_bytes(b"PK, but not read")
    refused = invoke(bundle.root)
    assert isinstance(refused.error, StudyError)
    assert "models/autoencoder.pt, models/model.pt): name them with --weights" in str(refused.error)
    assert "has no file models/x.pt" in str(invoke(bundle.root, "--weights", "models/x.pt").error)
    done = invoke(bundle.root, "--weights", "models/model.pt", *allowed(rest(study, bundle)))
    assert done.code == 0, done.error


def test_torchscript_alone_is_refused(bundle, invoke) -> None:
    (bundle.root / "models/model.pt").unlink()
    refused = invoke(bundle.root)
    assert isinstance(refused.error, DataError)
    assert "models/model.ts is TorchScript, which is a program and not weights" in str(refused.error)


def test_no_file_is_overwritten_and_no_family_without_weights_is_asked(bundle, invoke, tmp_path) -> None:
    (tmp_path / "there.safetensors").touch()
    assert "must be a new file" in str(invoke(bundle.root, out="there.safetensors").error)
    assert "must be a new file" in str(invoke(bundle.root, out="start.pt").error)
    assert "starts from no weights" in str(invoke(bundle.root, "--set", "model.family=latent").error)
