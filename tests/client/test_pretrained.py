"""A site reads what a study starts from, and is given the weights under its adapters once, by a file it checks."""

from __future__ import annotations

import hashlib

import pytest
import torch

from fedgen.errors import DataError, ExitCode, PrivacyRefusedError, StudyError
from fedgen.protocol.messages import Describe, Refusal, RoundUpdate, SiteDescription, TrainRound
from fedgen.recipe import Recipe
from fedgen.study.show import study_hash
from fedgen.training.pretrained import Origin, encode
from fedgen.training.vector import vector_sha256
from fedgen_client.hospital import Hospital

SOURCE = "NIH ChestX-ray14, CC0."
VAE = {"family": "vae", "vae": {"channels": (4, 8), "latent_size": 4}}


@pytest.fixture(autouse=True)
def _quick(quick_plans: None) -> None:
    """Noise is calibrated once."""


@pytest.fixture
def started(tiny_study, secure_study, tmp_path):
    """`started(adapters={...}, unprotected=("north",))`: a study that starts from a file, and the file."""

    def build(adapters=None, unprotected=(), secure=True):
        shapes = Recipe.of(tiny_study(model=VAE)).plain_layout.entries
        origin = Origin(
            study="earlier",
            study_sha256="0" * 64,
            mode="none",
            public=True,
            unprotected=unprotected,
            protected=(),
            source=SOURCE,
            statement="none",
        )
        torch.manual_seed(0)
        content = encode({name: 0.1 * torch.randn(shape) for name, shape in shapes}, origin)
        path = tmp_path / "start.safetensors"
        path.write_bytes(content)
        start = {"sha256": hashlib.sha256(content).hexdigest(), "source": SOURCE}
        model = {**VAE, "pretrained": start, "adapters": adapters}
        sections = {} if secure else {"aggregation": {"secure": False, "minimum_sites": 3}}
        return secure_study(model=model, **sections), path

    return build


def test_the_source_is_read_before_approving(started, with_data, stub, others, command) -> None:
    study, _ = started()
    stub.offer(study, **others)
    result = command("approve", "tiny", "--yes", folder=with_data)
    assert result.exit_code == 0, result.output
    read = " ".join(result.output.split())
    assert "starts from Weights trained before" in read
    assert SOURCE in read
    assert study.model.pretrained.sha256 in read
    assert "says nothing about the data that this start was trained on" in read
    # without adapters every weight comes in with the first round
    assert not with_data.pretrained(study_hash(study)).exists()


def test_adapters_are_not_approved_without_the_weights_under_them(
    started, with_data, stub, others, command, tmp_path
) -> None:
    study, path = started({"rank": 2})
    stub.offer(study, **others)
    kept = with_data.pretrained(study_hash(study))
    refused = command("approve", "tiny", "--yes", folder=with_data)
    assert isinstance(refused.exception, StudyError)
    assert "Only adapters of rank 2 are trained and sent" in " ".join(refused.output.split())
    assert f"In comes the model of {Recipe.of(study).layout.size} numbers" in " ".join(refused.output.split())
    other = tmp_path / "other.safetensors"
    other.write_bytes(path.read_bytes() + b" ")
    wrong = command("approve", "tiny", "--yes", "--pretrained", str(other), folder=with_data)
    assert isinstance(wrong.exception, StudyError)
    assert study.model.pretrained.sha256 in str(wrong.exception)
    assert not kept.exists()

    done = command("approve", "tiny", "--yes", "--pretrained", str(path), folder=with_data)
    assert done.exit_code == 0, done.output
    assert kept.read_bytes() == path.read_bytes()
    # given once, it need not be given again
    assert command("approve", "tiny", "--yes", folder=with_data).exit_code == 0


def test_weights_of_a_site_of_the_roster_without_privacy_are_refused(
    started, with_data, stub, others, command
) -> None:
    study, path = started({"rank": 2}, unprotected=("north", "elsewhere"))
    stub.offer(study, **others)
    refused = command("approve", "tiny", "--yes", "--pretrained", str(path), folder=with_data)
    assert isinstance(refused.exception, PrivacyRefusedError)
    assert "WITHOUT privacy at north," in str(refused.exception)


def test_a_file_for_a_study_that_needs_none_is_an_error(
    started, with_data, stub, others, command, secure_study
) -> None:
    _, path = started()
    stub.offer(secure_study(), **others)
    refused = command("approve", "tiny", "--yes", "--pretrained", str(path), folder=with_data)
    assert isinstance(refused.exception, StudyError)


def test_a_hospital_trains_adapters_on_its_own_copy(
    started, with_data, stub, others, command, edit_site_file
) -> None:
    edit_site_file(with_data, ("require_secure_aggregation: true", "require_secure_aggregation: false"))
    study, path = started({"rank": 2}, secure=False)
    stub.offer(study, **others)
    sha256 = study_hash(study)
    assert command("approve", "tiny", "--yes", "--pretrained", str(path), folder=with_data).exit_code == 0
    hospital = Hospital(with_data)

    with_data.pretrained(sha256).rename(path.with_name("away"))
    refused = hospital.answer(Describe(study_sha256=sha256, round=1))
    assert isinstance(refused, Refusal)
    assert refused.code is ExitCode.DATA
    path.with_name("away").rename(with_data.pretrained(sha256))

    assert isinstance(hospital.answer(Describe(study_sha256=sha256, round=1)), SiteDescription)
    model = Recipe.of(study).started(path).initial_checkpoint().model
    answer = hospital.answer(
        TrainRound(study_sha256=sha256, round=1, model_sha256=vector_sha256(model), model=model)
    )
    assert isinstance(answer, RoundUpdate)
    assert answer.update.shape == (Recipe.of(study).layout.size,)
    assert answer.update.abs().max() > 0


def test_a_prior_is_read_in_words_and_given_before_approving(
    on_prior, with_data, stub, others, command
) -> None:
    study, path = on_prior()
    stub.offer(study, **others)
    missing = command("approve", "tiny", "--yes", folder=with_data)
    assert isinstance(missing.exception, StudyError)
    assert "needs the public prior that it stands on, which the coordinator does not send" in str(
        missing.exception
    )
    read = " ".join(missing.output.split())
    assert f"A public prior (sha256 {study.model.prior.sha256}): {SOURCE.rstrip('.')}." in read
    assert "from one sum over all patients in all" in read
    assert "each as one vector of bounded length" in read
    done = command("approve", "tiny", "--yes", "--prior", str(path), folder=with_data)
    assert done.exit_code == 0, done.output
    assert with_data.pretrained(study_hash(study)).read_bytes() == path.read_bytes()


def test_a_prior_with_patients_of_the_roster_is_refused(on_prior, with_data, stub, others, command) -> None:
    study, path = on_prior(("north",))
    stub.offer(study, **others)
    refused = command("approve", "tiny", "--yes", "--prior", str(path), folder=with_data)
    assert isinstance(refused.exception, PrivacyRefusedError)
    assert "holds patients of north WITHOUT privacy" in str(refused.exception)
    assert not with_data.pretrained(study_hash(study)).exists()


@pytest.fixture
def on_phantoms(secure_study):
    """A study on a prior of phantoms."""
    phantom = {"patients": 20, "seed": 7, "components": 4, "donors": 4}
    model = {"family": "latent", "latent": {"latent_size": 4}, "prior": {"phantom": phantom}}
    return secure_study(model=model)


def test_a_prior_of_phantoms_is_made_where_it_is_approved(
    on_phantoms, with_data, stub, others, command, tmp_path
) -> None:
    stub.offer(on_phantoms, **others)
    kept = with_data.pretrained(study_hash(on_phantoms))
    refused = command("approve", "tiny", "--yes", "--prior", str(tmp_path / "p"), folder=with_data)
    assert isinstance(refused.exception, StudyError)
    assert "leave --prior away" in str(refused.exception)
    assert not kept.exists()
    done = command("approve", "tiny", "--yes", folder=with_data)
    assert done.exit_code == 0, done.output
    read = " ".join(done.output.split())
    assert "A public prior, which this site makes itself in seconds of 20 procedural phantoms" in read
    assert "no patient, no label" in read
    assert kept.read_bytes() == Recipe.of(on_phantoms).make_start().content


def test_a_hospital_makes_a_prior_of_phantoms_that_is_not_there(
    on_phantoms, with_data, stub, others, command
) -> None:
    stub.offer(on_phantoms, **others)
    assert command("approve", "tiny", "--yes", folder=with_data).exit_code == 0
    sha256 = study_hash(on_phantoms)
    # As where the site's policy has approved it.
    with_data.pretrained(sha256).unlink()
    answer = Hospital(with_data).answer(Describe(study_sha256=sha256, round=1))
    assert isinstance(answer, SiteDescription)
    assert with_data.pretrained(sha256).is_file()


def test_public_weights_that_a_loss_reads_are_told_and_lie_there_before_approving(
    secure_study, other_tasks, with_data, stub, others, command, tmp_path, monkeypatch
) -> None:
    sections = {key: value for key, value in other_tasks["translate_gan"].items() if key != "synthesis"}
    task_loss = {"sha256": "5" * 64, "source": "NIH scans, CC0."}
    study = secure_study(
        model={"family": "translate_gan", "translate_gan": {"task_loss": task_loss}}, **sections
    )
    stub.offer(study, **others)
    monkeypatch.setenv("FEDGEN_WEIGHTS", str(tmp_path))
    missing = command("approve", "tiny", "--yes", folder=with_data)
    assert isinstance(missing.exception, DataError), missing.output
    assert "which the coordinator does not send" in str(missing.exception)
    read = " ".join(missing.output.split())
    assert f"must keep (sha256 {'5' * 64}): NIH scans, CC0. It is never changed or sent" in read
    (tmp_path / f"{'5' * 64}.safetensors").write_bytes(b"whose hash is compared before it is used")
    done = command("approve", "tiny", "--yes", folder=with_data)
    assert done.exit_code == 0, done.output
