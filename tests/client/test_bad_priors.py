"""A prior that cannot be used is refused in a sentence at the site, before it is approved, charged or sent."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from fedgen.errors import DataError, ExitCode, FedgenError, StudyError
from fedgen.priors.build import Said, of_images
from fedgen.priors.card import CodeNetwork
from fedgen.priors.train import trained
from fedgen.protocol.messages import Describe, Refusal, TrainRound
from fedgen.recipe import Recipe
from fedgen.run.tensors import KEY, metadata
from fedgen.study.show import study_hash
from fedgen.training.vector import vector_sha256
from fedgen_client.hospital import Hospital
from fedgen_client.studies import Studies


@pytest.fixture(autouse=True)
def _quick(quick_plans: None) -> None:
    """Noise is calibrated once."""


def prior(*shape: int, components: int = 4) -> bytes:
    images = np.random.default_rng(4).uniform(-1, 1, (12, *shape)).astype(np.float32)
    return of_images(images, components, 2, Said("random pixels", "CC0-1.0"))


def changed(content: bytes, key: str, value: object) -> bytes:
    card = json.loads(str(metadata(content)))
    return save(load(content), metadata={KEY: json.dumps({**card, key: value})})


def infinite(content: bytes) -> bytes:
    tensors = load(content)
    return save({**tensors, "stds": tensors["stds"] / 0}, metadata={KEY: str(metadata(content))})


BAD = {
    "another size": (prior(1, 8, 8), DataError, r"1 channels and the size \[8, 8\], but the study's have 1"),
    "colour": (prior(3, 16, 16), DataError, r"3 channels and the size \[16, 16\], but the study's have 1"),
    "volumes": (prior(1, 4, 16, 16), DataError, r"the size \[4, 16, 16\], but the study's have 1 and \[16, 16\]"),
    "too few components": (prior(1, 16, 16, components=3), StudyError, r"3 components.*a latent of 4"),
    "no card": (save(load(prior(1, 16, 16))), DataError, "has no card, so that nobody can say what it was made"),
    "a card of another form": (changed(prior(1, 16, 16), "version", 2), DataError, "card of .* cannot be read"),
    "a card of another kind": (changed(prior(1, 16, 16), "kind", "autoencoder"), DataError, "cannot be read"),
    "a card that lies": (changed(prior(1, 16, 16), "components", 5), DataError, "not what its card says"),
    "not finite": (infinite(prior(1, 16, 16)), DataError, "values in stds that are not finite"),
    "no tensors": (b"junk", DataError, "not a safetensors file"),
}  # fmt: skip


@pytest.fixture
def on(secure_study, tmp_path):
    """`on(content)`: a study that names these very bytes, and their file."""

    def build(content: bytes):
        path = tmp_path / "prior.safetensors"
        path.write_bytes(content)
        named = {"sha256": hashlib.sha256(content).hexdigest(), "source": "random pixels"}
        return secure_study(model={"family": "latent", "latent": {"latent_size": 4}, "prior": named}), path

    return build


def refused(command, folder, path) -> FedgenError:
    result = command("approve", "tiny", "--yes", "--prior", str(path), folder=folder)
    assert isinstance(result.exception, FedgenError), result.output
    assert Studies(folder).find("tiny").decision is None
    assert not folder.ledger("main").exists()
    return result.exception


@pytest.mark.parametrize("what", BAD)
def test_a_prior_that_cannot_be_used_is_not_approved(what, on, with_data, stub, others, command) -> None:
    content, kind, why = BAD[what]
    study, path = on(content)
    stub.offer(study, **others)
    error = refused(command, with_data, path)
    assert type(error) is kind
    with pytest.raises(kind, match=why):
        raise error
    assert not with_data.pretrained(study_hash(study)).exists()


def test_a_prior_changed_by_a_byte_is_not_approved_nor_used(on, with_data, stub, others, command) -> None:
    content = prior(1, 16, 16)
    study, path = on(content)
    stub.offer(study, **others)
    other = bytearray(content)
    other[-1] ^= 1
    path.write_bytes(bytes(other))
    error = refused(command, with_data, path)
    assert isinstance(error, StudyError)
    assert f"model.prior.sha256 is {study.model.prior.sha256}" in str(error)

    path.write_bytes(content)
    assert command("approve", "tiny", "--yes", "--prior", str(path), folder=with_data).exit_code == 0
    sha256 = study_hash(study)
    model = Recipe.of(study).on_frozen(path).initial_checkpoint().model
    with_data.pretrained(sha256).write_bytes(bytes(other))
    hospital = Hospital(with_data)
    for message in (
        Describe(study_sha256=sha256, round=1),
        TrainRound(study_sha256=sha256, round=1, model_sha256=vector_sha256(model), model=model),
    ):
        answer = hospital.answer(message)
        assert isinstance(answer, Refusal)
        assert answer.code is ExitCode.INVALID
    assert not with_data.ledger("main").exists()


def test_a_network_that_is_not_finite_is_not_approved(on, with_data, stub, others, command) -> None:
    images = np.random.default_rng(4).uniform(-1, 1, (12, 1, 16, 16)).astype(np.float32)
    network = CodeNetwork(channels=(8, 8), code_channels=2, steps=10)
    made, _ = trained(images, 4, 2, network)
    card = json.loads(str(metadata(prior(1, 16, 16))))
    card |= {"kind": "autoencoder", "network": network.model_dump(mode="json")}
    tensors = {name: value.contiguous() for name, value in made.space.tensors().items()}
    tensors["network/quant_conv_mu.conv.weight"] = torch.full_like(
        tensors["network/quant_conv_mu.conv.weight"], 3e38
    )
    tensors["donors"] = made.donors.half()
    study, path = on(save(tensors, metadata={KEY: json.dumps(card)}))
    stub.offer(study, **others)
    error = refused(command, with_data, path)
    assert "gives latents or images that are not finite, so that no patient could be asked" in str(error)
