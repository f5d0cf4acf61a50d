"""Files that a study stands on are taken from the site's folder `given/`, by their hash and by nothing else."""

from __future__ import annotations

import hashlib
import os

import pytest

from fedgen.errors import DataError, PrivacyRefusedError, StudyError
from fedgen.protocol.messages import Describe, SiteDescription
from fedgen.study.show import study_hash
from fedgen_client import given_files as module
from fedgen_client.given_files import MOST_FILES, find_given, given_files, read_given, wanted_files
from fedgen_client.hospital import Hospital
from fedgen_client.site_page.coordinator_watch import Heard
from fedgen_client.site_page.site_reader import SiteReader
from fedgen_client.studies import Studies


@pytest.fixture(autouse=True)
def _quick(quick_plans: None) -> None:
    """Noise is calibrated once."""


@pytest.fixture
def asked(with_data, stub, others, on_prior):
    """`asked(sites)`: a study on a prior that is offered, and the prior's file, which lies nowhere here yet."""

    def build(sites=()):
        study, path = on_prior(sites)
        return Studies(with_data).keep(stub.offer(study, **others)), path

    return build


def put(folder, name: str, content: bytes) -> None:
    folder.given.mkdir(exist_ok=True)
    (folder.given / name).write_bytes(content)


def test_a_study_takes_its_file_from_there_by_its_hash(with_data, asked, command) -> None:
    offered, path = asked()
    put(with_data, "another.safetensors", path.read_bytes() + b" ")
    missing = command("approve", "tiny", "--yes", folder=with_data)
    assert isinstance(missing.exception, StudyError)
    assert str(with_data.given) in str(missing.exception)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in str(missing.exception)
    assert not with_data.pretrained(offered.study_sha256).exists()
    put(with_data, "as the post brought it.bin", path.read_bytes())
    done = command("approve", "tiny", "--yes", folder=with_data)
    assert done.exit_code == 0, done.output
    assert with_data.pretrained(offered.study_sha256).read_bytes() == path.read_bytes()


def test_a_file_that_the_study_must_not_stand_on_is_refused_from_there_too(with_data, asked, command) -> None:
    offered, path = asked(("north",))
    put(with_data, "prior", path.read_bytes())
    refused = command("approve", "tiny", "--yes", folder=with_data)
    assert isinstance(refused.exception, PrivacyRefusedError)
    assert Studies(with_data).get(offered.study_sha256).decision is None
    assert not with_data.pretrained(offered.study_sha256).exists()


def test_a_site_that_approves_by_policy_takes_it_too(with_data, asked, edit_site_file) -> None:
    offered, path = asked()
    edit_site_file(with_data, ("approve: ask", "approve: always"))
    task = Describe(study_sha256=offered.study_sha256, round=1)
    assert not isinstance(Hospital(with_data).answer(task), SiteDescription)
    put(with_data, "prior", path.read_bytes())
    assert isinstance(Hospital(with_data).answer(task), SiteDescription)


def test_public_weights_go_where_every_study_finds_them(
    with_data, stub, others, secure_study, other_tasks, command, tmp_path, monkeypatch
) -> None:
    content = b"whose hash is compared before it is used"
    sha256 = hashlib.sha256(content).hexdigest()
    sections = {key: value for key, value in other_tasks["translate_gan"].items() if key != "synthesis"}
    model = {
        "family": "translate_gan",
        "translate_gan": {"task_loss": {"sha256": sha256, "source": "NIH scans, CC0."}},
    }
    stub.offer(secure_study(model=model, **sections), **others)
    place = tmp_path / "weights"
    place.mkdir()
    monkeypatch.setenv("FEDGEN_WEIGHTS", str(place))
    put(with_data, "segmenter", content)
    done = command("approve", "tiny", "--yes", folder=with_data)
    assert done.exit_code == 0, done.output
    assert (place / f"{sha256}.safetensors").read_bytes() == content


def test_what_is_no_plain_file_is_not_looked_into(with_data, tmp_path, monkeypatch) -> None:
    put(with_data, "b", b"plain")
    (with_data.given / "a-folder").mkdir()
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    (with_data.given / "c-link").symlink_to(outside)
    os.mkfifo(with_data.given / "d-pipe")
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    put(with_data, "e-large", b"x" * 11)
    put(with_data, ".hidden", b"x")
    found = given_files(with_data)
    assert [file.path.name for file in found] == ["a-folder", "b", "c-link", "d-pipe", "e-large"]
    assert [file.sha256 is not None for file in found] == [False, True, False, False, False]
    assert all(file.why_not for file in found if file.sha256 is None)
    assert find_given(found, hashlib.sha256(b"secret").hexdigest()) is None


def test_few_files_are_looked_at(with_data) -> None:
    for number in range(MOST_FILES + 5):
        put(with_data, f"{number:03}", b"x")
    assert len(given_files(with_data)) == MOST_FILES


def test_a_file_that_changes_is_hashed_anew_and_never_taken_for_the_old_one(with_data) -> None:
    put(with_data, "prior", b"first")
    (first,) = given_files(with_data)
    path = with_data.given / "prior"
    path.write_bytes(b"other")
    os.utime(path, ns=(1, 1))
    (second,) = given_files(with_data)
    assert first.sha256 != second.sha256
    with pytest.raises(DataError, match="was changed while it was read"):
        read_given(path, first.sha256)


def test_the_page_says_what_is_wanted_and_what_lies_there(with_data, asked) -> None:
    offered, path = asked()
    reader = SiteReader(with_data, lambda: Heard(None, None, {}))
    content = path.read_bytes()
    put(with_data, "wrong <b>", content[:-1])
    shown = reader.study(offered.study_sha256)
    (file,) = shown.wanted
    assert file.sha256 == hashlib.sha256(content).hexdigest() == wanted_files(with_data, offered)[0].sha256
    assert file.source == "NIH ChestX-ray14, CC0." and file.where is None
    assert shown.lacks
    assert [(each.name, each.size) for each in shown.given] == [("wrong <b>", len(content) - 1)]
    put(with_data, "right", content)
    shown = reader.study(offered.study_sha256)
    assert shown.wanted[0].where == "right" and not shown.lacks


def test_a_study_of_weights_that_are_all_sent_wants_none(with_data, stub, others, secure_study) -> None:
    offered = Studies(with_data).keep(stub.offer(secure_study(), **others))
    assert offered.study_sha256 == study_hash(secure_study())
    assert wanted_files(with_data, offered) == ()
    assert SiteReader(with_data, lambda: Heard(None, None, {})).study(offered.study_sha256).given == ()
    assert not with_data.given.exists()
