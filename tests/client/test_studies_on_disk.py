"""Manifests are believed only as the coordinator signed them, and a decision is about one manifest alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from fedgen.errors import DataError, PrivacyRefusedError, StudyError
from fedgen.protocol.manifest import SignedManifest, encode_signed, manifest_of, sign_manifest
from fedgen.run.journal import Journal
from fedgen.study.show import study_hash
from fedgen_client.approval import read_approval
from fedgen_client.consent import approve, approve_by_policy, choose_cohort, deny, require_consent
from fedgen_client.studies import Studies


@pytest.fixture
def known(member) -> Studies:
    return Studies(member)


@pytest.fixture
def offered(known, stub, secure_study, others):
    return known.keep(stub.offer(secure_study(), **others))


def events(folder) -> list[str]:
    return [entry["event"] for entry in Journal(folder.log).entries()]


def test_a_manifest_is_kept_and_found(known, offered, member, secure_study) -> None:
    assert known.all() == [offered]
    assert offered.study == secure_study()
    assert offered.study_sha256 == study_hash(secure_study())
    assert (offered.roster_size, offered.decision, offered.lapsed) == (3, None, None)
    for wanted in ("tiny", offered.study_sha256, offered.study_sha256[:8], offered.study_sha256[:20].upper()):
        assert known.find(wanted) == offered
    assert known.get("0" * 64) is None
    assert member.study(offered.study_sha256).is_dir()


def test_a_manifest_file_can_be_named(known, stub, tmp_path, secure_study, others) -> None:
    path = tmp_path / "by-mail.json"
    path.write_bytes(encode_signed(stub.offer(secure_study(), **others)))
    assert known.find(str(path)).name == "tiny"
    assert len(known.all()) == 1
    with pytest.raises(StudyError, match=r"absent\.json does not exist"):
        known.find(str(tmp_path / "absent.json"))
    path.write_text("{}")
    with pytest.raises(PrivacyRefusedError, match="damaged"):
        known.find(str(path))


@pytest.mark.parametrize("wanted", ["other", "", "abc", "deadbeef", "DEADBEEF00"])
def test_what_is_not_offered(known, offered, wanted) -> None:
    sentence = rf"offered: tiny \({offered.study_sha256[:12]}\)\): run `fedgen-client studies`"
    with pytest.raises(StudyError, match=sentence):
        known.find(wanted)


def test_two_studies_of_one_name(known, stub, offered, secure_study, others) -> None:
    second = known.keep(stub.offer(secure_study(training={"rounds": 4}), **others))
    with pytest.raises(StudyError, match=r"'tiny' can mean 2 studies: name one by its hash") as error:
        known.find("tiny")
    for study in (offered, second):
        assert study.study_sha256[:12] in str(error.value)
        assert known.find(study.study_sha256[:8]).study_sha256 == study.study_sha256
    # The latest first.
    assert known.all() == [second, offered]


def test_every_changed_character_is_refused(known, stub, secure_study, others) -> None:
    signed = stub.offer(secure_study(), **others)
    for place in range(0, len(signed.text), 97):
        changed = signed.text[:place] + chr(ord(signed.text[place]) ^ 1) + signed.text[place + 1 :]
        with pytest.raises(PrivacyRefusedError):
            known.keep(SignedManifest(text=changed, signature=signed.signature))
    assert known.all() == []


def test_a_manifest_changed_on_the_disk_is_refused(known, offered, member) -> None:
    path = member.study(offered.study_sha256) / "manifest.json"
    content = path.read_bytes()
    for changed in (content.replace(b"rounds", b"sounds"), content[:-1], content + b" ", b"", b"{}"):
        path.write_bytes(changed)
        with pytest.raises(PrivacyRefusedError):
            known.all()


def test_a_manifest_in_another_studies_folder_is_refused(known, offered, member) -> None:
    other = member.studies / ("0" * 64)
    other.mkdir()
    (other / "manifest.json").write_bytes((member.study(offered.study_sha256) / "manifest.json").read_bytes())
    with pytest.raises(PrivacyRefusedError, match="another study than its folder names"):
        known.get("0" * 64)


def sign(stub, study, roster, federation=None, identity=None):
    manifest = manifest_of(federation or stub.federation, study, roster, datetime.now(UTC))
    return sign_manifest(manifest, identity or stub.identity)


def test_a_manifest_must_be_for_this_site(known, member, stub, secure_study, others) -> None:
    own = member.identity("north").public_key
    study = secure_study()
    assert known.keep(sign(stub, study, {"north": own, **others})).roster_size == 3
    for roster in (others, {"north": others["east"], "south": others["south"]}, {"North": own, **others}):
        with pytest.raises(PrivacyRefusedError, match="does not have north with this site's own key"):
            known.keep(sign(stub, study, roster))
    with pytest.raises(PrivacyRefusedError, match="is of the federation hearts, but this site is in lungs"):
        known.keep(sign(stub, study, {"north": own, **others}, federation="hearts"))
    with pytest.raises(PrivacyRefusedError, match="not signed by this federation's coordinator"):
        known.keep(sign(stub, study, {"north": own, **others}, identity=member.identity("north")))


def test_approve_and_deny(known, offered, member) -> None:
    site = member.load_site_file()
    sentence = rf"Nobody .* approved .* `fedgen-client approve {offered.study_sha256[:12]}`"
    with pytest.raises(PrivacyRefusedError, match=sentence):
        require_consent(site, offered)
    approval = approve(member, site, offered, "main")
    assert (approval.decision, approval.cohort) == ("approved", "main")
    assert approval.manifest_sha256 == offered.manifest_sha256
    assert "@" in approval.by
    assert require_consent(site, known.find("tiny")) == "main"
    deny(member, offered, "not our kind of patients")
    with pytest.raises(PrivacyRefusedError, match=r"^This site denied the study tiny\.$"):
        require_consent(site, known.find("tiny"))
    assert known.find("tiny").decision.reason == "not our kind of patients"
    approve(member, site, offered, "main")
    assert require_consent(site, known.find("tiny")) == "main"
    assert events(member)[-3:] == ["approved", "denied", "approved"]


def test_a_decision_lapses_with_its_manifest(known, offered, member, stub, secure_study, others) -> None:
    """Another roster under the same study is another question."""
    site = member.load_site_file()
    approve(member, site, offered, "main")
    del others["south"]
    smaller = known.keep(stub.offer(secure_study(), west=others.pop("east"), far=stub.identity.public_key))
    assert smaller.study_sha256 == offered.study_sha256
    assert smaller.decision is None
    assert smaller.lapsed is not None
    with pytest.raises(PrivacyRefusedError, match="was about another manifest of it"):
        require_consent(site, known.find("tiny"))
    approve(member, site, smaller, "main")
    assert require_consent(site, known.find("tiny")) == "main"


def test_the_same_manifest_again_changes_nothing(known, offered, member, stub) -> None:
    approve(member, member.load_site_file(), offered, "main")
    before = events(member)
    assert known.keep(stub.offered[0]).decision is not None
    assert events(member) == before


def test_a_policy_made_stricter_ends_an_approval(known, offered, member, edit_site_file) -> None:
    approve(member, member.load_site_file(), offered, "main")
    edit_site_file(member, ("largest_study_epsilon: 10.0", "largest_study_epsilon: 7.0"))
    with pytest.raises(PrivacyRefusedError, match=r"policy forbids the study tiny: privacy\.epsilon is 8"):
        require_consent(member.load_site_file(), known.find("tiny"))


def test_a_cohort_that_is_gone_ends_an_approval(known, offered, member, edit_site_file) -> None:
    approve(member, member.load_site_file(), offered, "main")
    edit_site_file(member, ("  main:", "  other:"))
    with pytest.raises(
        PrivacyRefusedError, match="approved for the cohort main, which the site file no longer"
    ):
        require_consent(member.load_site_file(), known.find("tiny"))


def test_what_the_policy_forbids_is_not_approved(known, member, stub, secure_study, others) -> None:
    offered = known.keep(stub.offer(secure_study(privacy={"epsilon": 11.0}), **others))
    with pytest.raises(PrivacyRefusedError, match="largest_study_epsilon allows 10"):
        approve(member, member.load_site_file(), offered, "main")
    assert read_approval(member.study(offered.study_sha256)) is None
    (refused,) = [entry for entry in Journal(member.log).entries() if entry["event"] == "refused"]
    assert (refused["study"], refused["epsilon"]) == (offered.study_sha256, 11.0)
    assert "largest_study_epsilon allows 10" in refused["reason"]


def test_an_approval_without_a_log_line_does_not_exist(known, offered, member, monkeypatch) -> None:
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedgen.run.journal.append_line", full)
    with pytest.raises(DataError, match="The disk is full"):
        approve(member, member.load_site_file(), offered, "main")
    assert known.find("tiny").decision is None


def test_always_approves_what_the_policy_allows(
    known, offered, member, edit_site_file, stub, secure_study, others
) -> None:
    assert approve_by_policy(member, member.load_site_file(), offered) is None
    edit_site_file(member, ("approve: ask ", "approve: always "))
    site = member.load_site_file()
    assert approve_by_policy(member, site, offered).by == "policy"
    assert require_consent(site, known.find("tiny")) == "main"
    deny(member, offered)
    # A person's no stands.
    assert approve_by_policy(member, site, known.find("tiny")) is None
    forbidden = known.keep(stub.offer(secure_study(privacy={"epsilon": 99.0}), **others))
    with pytest.raises(PrivacyRefusedError, match="policy forbids"):
        approve_by_policy(member, site, forbidden)


def test_a_cohort_is_chosen_where_there_are_several(member, edit_site_file) -> None:
    site = member.load_site_file()
    assert choose_cohort(site, None) == choose_cohort(site, "main") == "main"
    edit_site_file(member, ("\npolicy:", "  ct: {folder: /ct, maximum_epsilon: 1}\n\npolicy:"))
    site = member.load_site_file()
    assert choose_cohort(site, "ct") == "ct"
    with pytest.raises(StudyError, match=r"several cohorts \(main, ct\): choose one with --cohort"):
        choose_cohort(site, None)
    with pytest.raises(StudyError, match="no cohort 'mr': choose one of main, ct"):
        choose_cohort(site, "mr")


@pytest.mark.parametrize("text", ["", "{}", '{"decision": "approved"}'])
def test_a_damaged_decision_is_no_decision(known, offered, member, text) -> None:
    (member.study(offered.study_sha256) / "approval.json").write_text(text)
    with pytest.raises(DataError, match=r"approval\.json is damaged: remove it and decide again"):
        known.find("tiny")


def test_a_decision_cannot_be_made_by_hand_for_another_manifest(known, offered, member) -> None:
    approve(member, member.load_site_file(), offered, "main")
    path = member.study(offered.study_sha256) / "approval.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "manifest_sha256": "0" * 64}))
    assert known.find("tiny").decision is None


def test_manifests_are_dated(known, stub, secure_study, others) -> None:
    then = datetime.now(UTC) - timedelta(days=3)
    assert known.keep(stub.offer(secure_study(), created=then, **others)).manifest.created == then
