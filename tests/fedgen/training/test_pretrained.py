"""A file of pretrained weights is the very one that the study names, of its networks, finite and no pickle."""

from __future__ import annotations

import hashlib
import pickle

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save

from fedgen.errors import DataError, StudyError
from fedgen.recipe import Recipe
from fedgen.study.load import parse_study
from fedgen.training.pretrained import (
    Origin,
    encode,
)

ORIGIN = Origin(
    study="earlier",
    study_sha256="0" * 64,
    mode="none",
    public=True,
    unprotected=("a",),
    protected=(),
    source="NIH ChestX-ray14, CC0.",
    statement="none",
)
NETWORK = {"family": "vae", "vae": {"channels": (4, 8), "latent_size": 4}}


@pytest.fixture
def given(tiny_study, tmp_path):
    """`given(change)`: a study whose pretrained file holds what `change` makes of good weights, and the file."""

    def build(change=lambda weights: weights, content=None, adapters=None):
        good = {
            name: torch.full(shape, 0.5)
            for name, shape in Recipe.of(tiny_study(model=NETWORK)).plain_layout.entries
        }
        content = content or encode(change(good), ORIGIN)
        path = tmp_path / "start.safetensors"
        path.write_bytes(content)
        start = {"sha256": hashlib.sha256(content).hexdigest(), "source": "NIH ChestX-ray14, CC0."}
        return tiny_study(model={**NETWORK, "pretrained": start, "adapters": adapters}), path

    return build


def test_good_weights_are_read_with_their_origin(given) -> None:
    study, path = given()
    found = Recipe.of(study).read_start(path)
    assert {name: tuple(t.shape) for name, t in found.weights.items()} == dict(
        Recipe.of(study).plain_layout.entries
    )
    assert found.origin == ORIGIN
    assert found.content == path.read_bytes()
    assert Recipe.of(study).on_frozen(path) is Recipe.of(study)
    assert encode(found.weights, ORIGIN) == found.content


def test_a_file_of_another_maker_has_no_origin(given, tiny_study) -> None:
    shapes = dict(Recipe.of(tiny_study(model=NETWORK)).plain_layout.entries)
    study, path = given(content=save({name: torch.zeros(shape) for name, shape in shapes.items()}))
    assert Recipe.of(study).read_start(path).origin is None


def test_a_study_without_pretrained_weights_reads_no_file(tiny_study, tmp_path) -> None:
    assert Recipe.of(tiny_study()).read_start(tmp_path / "absent") is None


def one_value(weights, value):
    name = sorted(weights)[0]
    spoiled = weights[name].clone()
    spoiled.view(-1)[-1] = value
    return {**weights, name: spoiled}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: dict(list(w.items())[1:]), "lacks vae/"),
        (lambda w: {**w, "vae/extra": torch.zeros(1)}, "has vae/extra, which"),
        (lambda w: {**w, sorted(w)[0]: torch.zeros(3, 1)}, r"in the shape \(3, 1\)"),
        (lambda w: {k: t.double() for k, t in w.items()}, r"as torch\.float64"),
        (lambda w: one_value(w, float("nan")), "not finite"),
        (lambda w: one_value(w, float("inf")), "not finite"),
    ],
)
def test_weights_of_other_networks_are_refused(given, change, says) -> None:
    study, path = given(change)
    with pytest.raises(DataError, match=says) as caught:
        Recipe.of(study).read_start(path)
    assert caught.value.exit_code == 4


def test_a_pickle_is_refused_and_never_run(given, tmp_path) -> None:
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    study, path = given(content=pickle.dumps(Trap()))
    with pytest.raises(DataError, match="not a safetensors file"):
        Recipe.of(study).read_start(path)
    assert not (tmp_path / "sprung").exists()


def test_metadata_that_is_damaged_is_refused(given, tiny_study) -> None:
    shapes = dict(Recipe.of(tiny_study(model=NETWORK)).plain_layout.entries)
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    study, path = given(content=save(tensors, metadata={"fedgen": '{"mode": "none"}'}))
    with pytest.raises(DataError, match="metadata"):
        Recipe.of(study).read_start(path)


def test_another_file_than_the_studys_is_refused(given) -> None:
    study, path = given()
    path.write_bytes(encode({"vae/x": torch.zeros(1)}, ORIGIN))
    with pytest.raises(StudyError, match=study.model.pretrained.sha256) as caught:
        Recipe.of(study).read_start(path)
    assert caught.value.exit_code == 2
    path.unlink()
    with pytest.raises(DataError, match="--pretrained"):
        Recipe.of(study).read_start(path)


def test_adapters_are_what_is_sent_and_stand_on_the_file(given) -> None:
    study, path = given(adapters={"rank": 2})
    assert 0 < Recipe.of(study).layout.size < Recipe.of(study).plain_layout.size
    networks = Recipe.of(study).on_frozen(path).family.networks()
    found = dict(networks["vae"].named_parameters())
    assert all(bool((p == 0.5).all()) for name, p in found.items() if "adapter" not in name)
    with pytest.raises(DataError):
        Recipe.of(study).family.networks()
    assert Recipe.of(study).blank_networks()


def test_adapters_without_pretrained_weights_are_no_study(tiny_study) -> None:
    with pytest.raises(ValidationError, match="adapters need pretrained"):
        tiny_study(model={**NETWORK, "adapters": {"rank": 2}})
    text = "study: {name: a}\nmodel:\n  family: vae\n  adapters: {rank: 2}\n"
    with pytest.raises(StudyError, match=r"line 4.*adapters need pretrained|adapters need pretrained"):
        parse_study(text, "a.yaml")
