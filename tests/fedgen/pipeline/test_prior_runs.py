"""A run on a public prior: named by its hash, kept with the run, refused where it would break a promise."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fedgen.errors import DataError, PrivacyRefusedError, StudyError
from fedgen.pipeline.pretrained_start import (
    given_start,
    keep_start,
    origin_of,
    refuse_same_patients,
    require_start,
)
from fedgen.pipeline.privacy import _start
from fedgen.priors.build import Said, of_autoencoder, of_images
from fedgen.priors.file import read_prior
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.training.pretrained import Origin, encode

LATENT = {"family": "latent", "latent": {"latent_size": 3}}


@pytest.fixture
def given(tiny_study, tmp_path):
    """`given(size=16, components=4)`: a study on a prior of 30 images with 5 donors, and the file."""

    def build(size=16, components=4, sites=("north",), **model):
        images = np.random.default_rng(3).uniform(-1, 1, (30, 1, size, size)).astype(np.float32)
        content = of_images(images, components, 5, Said("random pixels", "CC0-1.0", sites))
        path = tmp_path / f"prior-{size}-{components}.safetensors"
        path.write_bytes(content)
        prior = {"sha256": hashlib.sha256(content).hexdigest(), "source": "random pixels (CC0-1.0)"}
        return tiny_study(model={**LATENT, "prior": prior, **model}), path

    return build


def test_the_networks_hold_the_prior_of_the_file(given, tmp_path) -> None:
    study, path = given()
    recipe = Recipe.of(study).on_frozen(path)
    network = recipe.networks(recipe.initial)["latent"]
    assert network.space.components.shape == (3, 1, 16, 16)
    assert torch.equal(network.space.components, recipe.start.prior.space.components[:3])
    assert len(network.donors) == 5
    # Nothing of it is sent: what is trained is as with the prior of no image.
    assert recipe.layout == Recipe.of(study).layout
    with pytest.raises(DataError, match=r"public prior that is not here.*model\.prior\.sha256"):
        Recipe.of(study).networks(recipe.initial)


def test_the_file_is_kept_with_the_run_and_missed(given, tmp_path) -> None:
    study, path = given()
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    with pytest.raises(DataError, match="put that file there again"):
        require_start(run, study)
    keep_start(run, given_start(study, path))
    require_start(run, study)
    assert run.pretrained.read_bytes() == path.read_bytes()
    assert origin_of(run, study).unprotected == ("north",)
    assert "Training stood on a public prior (sha256" in _start(study)


def test_a_prior_with_a_sites_patients_is_refused_there(given) -> None:
    study, path = given()
    origin = given_start(study, path).origin
    with pytest.raises(PrivacyRefusedError, match=r"holds patients of north WITHOUT privacy"):
        refuse_same_patients(study, origin, ("north", "south"))
    refuse_same_patients(study, origin, ("south", "east"))


def test_a_prior_that_does_not_fit_is_refused(given) -> None:
    study, path = given(size=8)
    with pytest.raises(DataError, match=r"size \[8, 8\], but the study's have 1 and \[16, 16\]"):
        given_start(study, path)
    study, path = given(components=2)
    with pytest.raises(StudyError, match=r"has 2 components.*latent of 3"):
        given_start(study, path)
    study, path = given()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StudyError, match=r"model\.prior\.sha256 is"):
        given_start(study, path)
    with pytest.raises(StudyError, match=r"public prior .*give its file with --prior"):
        given_start(study, None)


def test_a_prior_has_a_family_that_stands_on_one(given) -> None:
    with pytest.raises(
        ValidationError, match=r"prior is for a family that stands on one .*latent.*vae does not"
    ):
        given(family="vae")
    start = {"sha256": "0" * 64, "source": "some images"}
    with pytest.raises(ValidationError, match="pretrained is for a family that is trained on"):
        given(prior=None, pretrained=start)


def test_a_diffusion_stands_on_a_file_with_an_autoencoder_and_on_no_other(
    given, tiny_study, tmp_path
) -> None:
    options = {"latent": "prior", "autoencoder_channels": (16, 32), "channels": (8, 16)}
    options |= {"attention": (False, True), "linear_denoisers": False}
    diffusion = {"family": "diffusion", "latent": {}, "diffusion": options}
    study, path = given(**diffusion)
    with pytest.raises(StudyError, match="the prior has no autoencoder: make one with"):
        given_start(study, path)
    images = np.random.default_rng(3).uniform(-1, 1, (30, 1, 16, 16)).astype(np.float32)
    content = of_autoencoder(images, 4, 0, Said("random pixels", "CC0-1.0", ("north",)), 10)
    path.write_bytes(content)
    named = {"sha256": hashlib.sha256(content).hexdigest(), "source": "random pixels (CC0-1.0)"}
    study = tiny_study(model={**diffusion, "prior": named})
    recipe = Recipe.of(study).on_frozen(path)
    held = recipe.networks(recipe.initial)["autoencoder"].space
    assert torch.equal(held.code.components, recipe.start.prior.space.code.components)
    assert recipe.layout == Recipe.of(study).layout
    assert {name.split("/")[0] for name, _ in recipe.layout.entries} == {"unet"}
    with pytest.raises(DataError, match="public prior that is not here"):
        Recipe.of(study).networks(recipe.initial)
    with pytest.raises(PrivacyRefusedError, match="holds patients of north WITHOUT privacy"):
        refuse_same_patients(study, given_start(study, path).origin, ("north",))


def test_an_exported_run_is_no_prior(given) -> None:
    _, path = given()
    sites = {"unprotected": (), "protected": ("north",)}
    said = {"study": "mine", "study_sha256": "0" * 64, "source": "mine", "statement": "epsilon 1"}
    origin = Origin(mode="local", public=False, **said, **sites)
    path.write_bytes(encode({"unet/a": torch.zeros(1)}, origin))
    with pytest.raises(
        DataError, match=r"`fedgen export` wrote are no prior, and belong to model\.pretrained"
    ):
        read_prior(path)
