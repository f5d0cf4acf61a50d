"""A run on a prior of phantoms: made without a file, kept with the run, told in words."""

from __future__ import annotations

import pytest
import torch
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from fedgen.api.loud import loud
from fedgen.cli.main import app
from fedgen.data.phantom.public import public_phantoms
from fedgen.errors import DataError, StudyError
from fedgen.pipeline.entries import start_of
from fedgen.pipeline.pretrained_start import (
    given_start,
    keep_start,
    origin_of,
    refuse_same_patients,
    require_start,
)
from fedgen.pipeline.privacy import _start
from fedgen.priors.build import Said, of_images
from fedgen.priors.file import read_prior
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.study.data import Intensity

FEW = {"patients": 24, "seed": 7, "components": 4, "donors": 5}


@pytest.fixture
def study(tiny_study):
    """`study(patients=30)`: on a prior of phantoms; sections replaced with `data=`, `study=`."""

    def build(data=None, study=None, **phantom):
        model = {"family": "latent", "latent": {"latent_size": 3}, "prior": {"phantom": {**FEW, **phantom}}}
        sections = {"data": {**(data or {})}, "study": {**(study or {})}}
        return tiny_study(model=model, **sections)

    return build


@pytest.fixture
def run(tmp_path):
    """An empty run folder."""
    made = RunDirectory(tmp_path / "run")
    made.path.mkdir()
    return made


def test_the_prior_is_made_kept_and_read_back(study, run) -> None:
    asked = study()
    start = given_start(asked, None)
    images = public_phantoms(asked.model.prior.phantom, None, (16, 16), Intensity())
    assert torch.allclose(start.prior.space.mean, torch.from_numpy(images).mean(dim=0), atol=1e-5)
    assert len(start.prior.donors) == 5
    with pytest.raises(DataError, match="put that file there again"):
        require_start(run, asked)
    keep_start(run, start)
    require_start(run, asked)
    recipe = Recipe.of(asked).on_frozen(run.pretrained)
    network = recipe.networks(recipe.initial)["latent"]
    assert torch.equal(network.space.components, start.prior.space.components[:3])
    assert given_start(asked, None).content == start.content
    assert Recipe.of(asked).layout == recipe.layout


def test_it_is_told_in_words_and_holds_nobodys_patients(study, run) -> None:
    asked = study()
    keep_start(run, given_start(asked, None))
    words = "24 procedural phantoms of the seed 7, made by fedgen itself: no patient, no label"
    assert _start(asked) == f" Training stood on a public prior made of {words}."
    assert any(words in sentence for sentence in loud(asked))
    origin = origin_of(run, asked)
    assert origin.unprotected == ()
    refuse_same_patients(asked, origin, ("north", "Ashford"))
    entry = start_of(Recipe.of(asked).on_frozen(run.pretrained))
    assert (entry.source, entry.sha256) == (words, read_prior(run.pretrained).sha256)


def test_a_file_is_refused_beside_it(study, tmp_path) -> None:
    with pytest.raises(StudyError, match=r"has its prior made of phantoms .*leave --prior away"):
        given_start(study(), tmp_path / "p.safetensors")


def test_a_kept_file_that_is_another_prior_is_refused(study, run) -> None:
    keep_start(run, given_start(study(seed=8), None))
    recipe = Recipe.of(study())
    with pytest.raises(DataError, match=r"not the prior that model\.prior\.phantom asks for.*seed 8"):
        recipe.on_frozen(run.pretrained)
    images = public_phantoms(study().model.prior.phantom, None, (16, 16), Intensity())
    run.pretrained.write_bytes(of_images(images, 4, 5, Said("a hospital's films", "CC0-1.0", ("north",))))
    with pytest.raises(DataError, match="but of a hospital's films"):
        recipe.on_frozen(run.pretrained)
    run.pretrained.unlink()
    with pytest.raises(DataError, match="does not exist, and the study stands on it"):
        recipe.on_frozen(run.pretrained)


def test_what_cannot_be_made_is_refused(study) -> None:
    phantom = {"sites": 2, "patients": 4}
    with pytest.raises(ValidationError, match=r"model\.prior\.phantom\.seed and study\.seed are both 7"):
        study(data={"phantom": phantom}, study={"seed": 7})
    study(data={"phantom": phantom}, study={"seed": 8})
    with pytest.raises(ValidationError, match="24 patients do not give 24 components"):
        study(components=24)
    with pytest.raises(ValidationError, match="and 25 donors"):
        study(donors=25)
    with pytest.raises(ValidationError, match=r"is gray, but data\.channels is 3"):
        study(data={"channels": 3})
    with pytest.raises(StudyError, match=r"has 2 components.*latent of 3"):
        given_start(study(components=2), None)
    with pytest.raises(StudyError, match=r"data\.modality is CT"):
        given_start(study(data={"modality": "CT"}), None)


@pytest.mark.parametrize(
    "prior",
    [
        {},
        {"sha256": "0" * 64},
        {"source": "some images"},
        {"sha256": "0" * 64, "phantom": FEW},
        {"sha256": "0" * 64, "source": "some images", "phantom": FEW},
    ],
)
def test_a_prior_is_a_file_or_phantoms(tiny_study, prior) -> None:
    with pytest.raises(ValidationError, match="either sha256 and source, of a file, or phantom"):
        tiny_study(model={"family": "latent", "prior": prior})


def test_the_command_writes_the_very_prior(study, tmp_path) -> None:
    out, run = tmp_path / "p.safetensors", CliRunner().invoke
    asked = ["prior", "build", "--phantom", "24", "--seed", "7", "--size", "16x16", "--components", "4"]
    asked += ["--donors", "5", "--out", str(out)]
    wrong = run(app, [*asked, "--source", "noise"])
    assert "--phantom makes gray images of no patient" in str(wrong.exception)
    few = run(app, ["prior", "build", "--phantom", "24", "--out", str(out)])
    assert isinstance(few.exception, StudyError)
    assert "more patients than components" in str(few.exception)
    done = run(app, asked)
    assert done.exit_code == 0, done.output
    assert out.read_bytes() == given_start(study(), None).content
    named = yaml.safe_load(done.stdout)["model"]["prior"]
    assert "no patient" in named["source"]
