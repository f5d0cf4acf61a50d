"""A hospital's own readers: what they are shown is the release that was asked about, and one row may leave."""

from __future__ import annotations

import json

import pytest
import torch

from fedgen.errors import DataError, PolicyRefusedError, PrivacyRefusedError
from fedgen.pipeline.assessment import ANSWERED
from fedgen.pipeline.kept_release import keep_release, kept_release
from fedgen.pipeline.readings import reading_folder
from fedgen.protocol.messages import Assess, AssessModel
from fedgen.reading.book import Book
from fedgen.run.journal import Journal
from fedgen_client.reading_desk import hospital_desk
from fedgen_client.studies import Studies


def asked(images: int = 12) -> Assess:
    return Assess(
        study_sha256="0" * 64,
        model_sha256="1" * 64,
        model=torch.zeros(3),
        images=torch.rand(images, 1, 16, 16) * 2 - 1,
        labels=torch.arange(images) % 2,
    )


def test_some_images_of_each_class_are_kept_once(tmp_path) -> None:
    task = asked()
    keep_release(tmp_path, task, 4, seed=1)
    question, kept = kept_release(tmp_path)
    assert question == task.sha256
    assert torch.bincount(kept.labels).tolist() == [4, 4]
    every = {image.half().numpy().tobytes() for image in task.images}
    assert {image.half().numpy().tobytes() for image in kept.images} <= every
    keep_release(tmp_path, asked(), 4, seed=1)
    assert kept_release(tmp_path)[0] == question, "a site is asked one question"


def test_of_a_model_nothing_is_kept_and_nothing_can_be_read(tmp_path) -> None:
    keep_release(
        tmp_path, AssessModel(study_sha256="0" * 64, model_sha256="1" * 64, model=torch.zeros(3)), 4, seed=1
    )
    with pytest.raises(DataError, match="was not asked"):
        kept_release(tmp_path)
    (tmp_path / "shown.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(DataError, match="damaged"):
        kept_release(tmp_path)


@pytest.fixture
def approved(command, with_data, offered):
    """The site's folder of an approved study that was asked about a release."""
    assert command("approve", "tiny", "--yes", folder=with_data).exit_code == 0
    (own,) = with_data.studies.iterdir()
    keep_release(own / ANSWERED, asked(), 40, seed=1)
    return own


def read_all(place, own) -> Book:
    offered = Studies(place).find("tiny")
    hospital_desk(place, offered, "ann", lambda said: None)
    book = Book(reading_folder(own))
    shown = len(book.trials("ann")[0])
    for trial in range(len(book.trials("ann"))):
        book.write("ann", trial, "left", dict.fromkeys(book.plan.form, (3,) * shown), 1.0)
    return book


def test_the_row_leaves_by_a_persons_hand_and_is_in_the_log(command, with_data, approved, tmp_path) -> None:
    book = read_all(with_data, approved)
    out = tmp_path / "row.json"
    told = command("read", "tiny", "--row", str(out), folder=with_data)
    assert told.exit_code == 0, told.output
    value = json.loads(out.read_text())
    (row,) = value["rows"]
    assert (value["site"], row["id"], row["per_site"]) == ("north", "reading", [])
    assert row["n"]["test_patients"] == len(book.plan.real)
    assert book.plan.seed not in out.read_text()
    entry = list(Journal(with_data.log).entries())[-1]
    assert (entry["event"], entry["kind"]) == ("written", "reading")


def test_nothing_leaves_where_the_policy_withholds_or_nobody_is_done(
    command, with_data, approved, tmp_path, edit_site_file
) -> None:
    out = tmp_path / "row.json"
    told = command("read", "tiny", "--row", str(out), folder=with_data)
    assert isinstance(told.exception, DataError), told.output
    read_all(with_data, approved)
    edit_site_file(with_data, ("metrics: [loss, audit, evaluation, receipt]", "metrics: [loss, audit]"))
    told = command("read", "tiny", "--row", str(out), folder=with_data)
    assert isinstance(told.exception, PolicyRefusedError), told.output
    assert not out.exists()


def test_a_study_that_is_not_approved_is_not_read(command, with_data, offered) -> None:
    command("studies", folder=with_data)
    told = command("read", "tiny", "--reader", "ann", folder=with_data)
    assert isinstance(told.exception, PrivacyRefusedError), told.output


@pytest.fixture
def paid(stub, others, secure_study):
    """A study that is offered to the site and pays for its evidence with noise."""
    return stub.offer(secure_study(evidence={"privacy": {"epsilon": 1.0}}), **others)


def test_where_evidence_is_paid_for_a_reading_stays_where_it_was_read(
    command, with_data, paid, tmp_path
) -> None:
    assert command("approve", "tiny", "--yes", folder=with_data).exit_code == 0
    (own,) = with_data.studies.iterdir()
    keep_release(own / ANSWERED, asked(), 40, seed=1)
    read_all(with_data, own)
    out = tmp_path / "row.json"
    told = command("read", "tiny", "--row", str(out), folder=with_data)
    assert isinstance(told.exception, PolicyRefusedError), told.output
    assert "evidence.privacy" in str(told.exception)
    assert "the answers stay here" in str(told.exception)
    assert not out.exists()
    assert list(Journal(with_data.log).entries())[-1]["event"] != "written"
