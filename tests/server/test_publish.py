"""A published study has its pretrained weights in its run folder, or is not published at all."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from fedgen.errors import PrivacyRefusedError, StudyError
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.training.pretrained import Origin, encode
from fedgen_privacy.secagg import Identity
from fedgen_server.conduct import publish
from fedgen_server.sites import Member

VAE = {"family": "vae", "vae": {"channels": (4, 8), "latent_size": 4}}


@pytest.fixture
def members(federation):
    """A federation with two sites."""
    for number, name in enumerate(("east", "north")):
        key = Identity.generate(name).public_key.hex()
        moment = datetime.now(UTC)
        site = Member(name=name, identity_key=key, node_key=f"key {name}", node_id=number + 1, joined=moment)
        federation.sites.add(site)
    return federation


@pytest.fixture
def started(tiny_study, tmp_path):
    """`started(unprotected)`: a study that starts from a file of that origin, and the file."""

    def build(unprotected=()):
        shapes = Recipe.of(tiny_study(model=VAE)).plain_layout.entries
        origin = Origin(
            study="earlier",
            study_sha256="0" * 64,
            mode="none",
            public=True,
            unprotected=unprotected,
            protected=(),
            source="Public images.",
            statement="none",
        )
        content = encode({name: torch.zeros(shape) for name, shape in shapes}, origin)
        path = tmp_path / "start.safetensors"
        path.write_bytes(content)
        start = {"sha256": hashlib.sha256(content).hexdigest(), "source": "Public images."}
        return tiny_study(model={**VAE, "pretrained": start}), path

    return build


def runs(federation) -> list[Path]:
    return sorted(federation.paths.runs.glob("*"))


def test_the_run_keeps_a_copy(members, started) -> None:
    study, path = started()
    entry = publish(members, study, None, path)
    assert RunDirectory(Path(entry.run)).pretrained.read_bytes() == path.read_bytes()


def test_nothing_is_published_without_the_right_file(members, started, tiny_study) -> None:
    study, path = started()
    with pytest.raises(StudyError, match="--pretrained"):
        publish(members, study, None)
    with pytest.raises(StudyError, match="--pretrained"):
        publish(members, tiny_study(), None, path)
    path.write_bytes(b"something else")
    with pytest.raises(StudyError, match="sha256"):
        publish(members, study, None, path)
    assert runs(members) == []
    assert members.studies.all() == {}


def test_weights_of_a_member_without_privacy_are_refused(members, started) -> None:
    study, path = started(("north",))
    with pytest.raises(PrivacyRefusedError, match="WITHOUT privacy at north"):
        publish(members, study, None, path)
    assert runs(members) == []


def test_a_study_for_a_device_that_the_coordinator_lacks_is_not_published(members, tiny_study) -> None:
    """The coordinator works with the model on it too; a site may name another in its own file."""
    with pytest.raises(StudyError, match=r"^training\.device asks for cuda:77"):
        publish(members, tiny_study(training={"device": "cuda:77"}), None)
    assert runs(members) == []


def test_a_prior_of_phantoms_is_made_with_the_run(members, tiny_study, tmp_path) -> None:
    phantom = {"patients": 20, "seed": 7, "components": 4, "donors": 4}
    model = {"family": "latent", "latent": {"latent_size": 4}, "prior": {"phantom": phantom}}
    study = tiny_study(model=model)
    with pytest.raises(StudyError, match="leave --prior away"):
        publish(members, study, None, tmp_path / "prior.safetensors")
    entry = publish(members, study, None)
    kept = RunDirectory(Path(entry.run)).pretrained
    assert kept.read_bytes() == Recipe.of(study).make_start().content
