"""A federation's folder: private keys, registries that two processes share, renewal and removal."""

from __future__ import annotations

import multiprocessing
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

import fedgen_server.folder as federation_module
from fedgen.errors import DataError, LockedError, PrivacyRefusedError, StudyError
from fedgen.protocol.manifest import manifest_of, sign_manifest
from fedgen.run.lock import held
from fedgen.study.load import load_study
from fedgen_privacy.secagg import Identity
from fedgen_server.certificates import make_authority, make_server
from fedgen_server.folder import Federation, GivenCertificate
from fedgen_server.sites import Member

NOW = datetime.now(UTC)


def site(name: str, **changes: object) -> Member:
    values = {
        "name": name,
        "identity_key": name.encode().hex().ljust(64, "0"),
        "node_key": f"key of {name}",
        "node_id": 7,
        "joined": NOW,
    }
    return Member(**{**values, **changes})


def test_it_is_opened_as_it_was_made(federation) -> None:
    again = Federation.open(federation.paths.folder)
    assert again.config == federation.config
    assert again.identity.public_key == federation.identity.public_key
    assert again.ca_sha256 == federation.ca_sha256
    federation.check_certificate()


def test_keys_are_their_owners_alone(federation) -> None:
    paths = federation.paths
    for key in (paths.ca_key, paths.key, paths.identity, paths.config):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.folder.stat().st_mode) == 0o700
    paths.identity.chmod(0o644)
    with pytest.raises(PrivacyRefusedError, match="chmod 600"):
        Federation.open(paths.folder)


def test_a_federation_is_never_overwritten(federation) -> None:
    before = federation.paths.identity.read_bytes()
    with pytest.raises(StudyError, match="holds a federation already"):
        Federation.create(federation.paths.folder, name="x", address="a:1")
    assert federation.paths.identity.read_bytes() == before


def test_what_an_interrupted_init_left_is_no_federation(federation) -> None:
    federation.paths.config.unlink()
    with pytest.raises(StudyError, match="fedgen-server init"):
        Federation.open(federation.paths.folder)
    Federation.create(federation.paths.folder, name="x", address="localhost:1").check_certificate()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "a/b", "address": "a:1"}, "--name: name must match"),
        ({"name": "a", "address": "a"}, "--address: address: must be host:port"),
        ({"name": "a", "address": "a:1", "port": 0}, "--port: port must be at least 1"),
    ],
)
def test_values_that_cannot_be(tmp_path, values, words: str) -> None:
    with pytest.raises(StudyError) as error:
        Federation.create(tmp_path / "f", **values)
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("name", ["identity", "ca"])
def test_a_damaged_file_is_named(federation, name: str) -> None:
    getattr(federation.paths, name).write_bytes(b"damaged")
    with pytest.raises(DataError, match="missing or damaged"):
        Federation.open(federation.paths.folder)


def given_files(folder: Path, host: str = "fed.example.org", authority=None) -> GivenCertificate:
    authority = authority or make_authority("Hospital IT", NOW)
    server = make_server(authority, host, NOW)
    folder.mkdir(exist_ok=True)
    files = {"server.crt": server.certificate, "server.key": server.key, "ca.crt": authority.certificate}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return GivenCertificate(*(folder / name for name in files))


def test_a_given_certificate_is_checked_and_copied(tmp_path) -> None:
    given = given_files(tmp_path / "it")
    with pytest.raises(StudyError, match="mismatch"):
        Federation.create(tmp_path / "f", name="x", address="other.org:1", certificate=given)
    federation = Federation.create(tmp_path / "f", name="x", address="fed.example.org:1", certificate=given)
    assert federation.paths.key.read_bytes() == given.key.read_bytes()
    assert not federation.paths.ca_key.exists()
    assert federation.config.certificate == "given"


def test_renewing_keeps_the_authority(federation) -> None:
    before, ca = federation.paths.certificate.read_bytes(), federation.paths.ca.read_bytes()
    assert federation.renew() > NOW + timedelta(days=396)
    assert federation.paths.certificate.read_bytes() != before
    assert federation.paths.ca.read_bytes() == ca
    federation.check_certificate()
    with pytest.raises(StudyError, match="makes its own"):
        federation.renew(federation.paths.certificate, federation.paths.key)
    federation.paths.ca_key.unlink()
    with pytest.raises(DataError, match=r"ca\.key"):
        federation.renew()


def test_renewing_a_given_certificate(tmp_path) -> None:
    authority = make_authority("Hospital IT", NOW)
    first = given_files(tmp_path / "one", authority=authority)
    federation = Federation.create(tmp_path / "f", name="x", address="fed.example.org:1", certificate=first)
    with pytest.raises(StudyError, match="--certificate"):
        federation.renew()
    stranger = given_files(tmp_path / "two")
    with pytest.raises(StudyError, match="would refuse"):
        federation.renew(stranger.certificate, stranger.key)
    second = given_files(tmp_path / "three", authority=authority)
    federation.renew(second.certificate, second.key)
    assert federation.paths.key.read_bytes() == second.key.read_bytes()


def names(federation: Federation) -> set[str]:
    certificate = x509.load_pem_x509_certificate(federation.paths.certificate.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}


def test_moving_keeps_keys_authority_and_members(federation) -> None:
    before = {
        name: (federation.paths.folder / name).read_bytes()
        for name in ("ca.crt", "ca.key", "coordinator.key")
    }
    invitation = federation.invite("south", 1.0)
    moved, invited = federation.move("fed.example.org:9443")
    assert {name: (moved.paths.folder / name).read_bytes() for name in before} == before
    assert (moved.config.address, moved.config.port, moved.config.name) == (
        "fed.example.org:9443",
        9443,
        "Lung net",
    )
    # Sites that have not heard yet come by the old name.
    assert {"fed.example.org", "localhost"} <= names(moved)
    moved.check_certificate()
    assert Federation.open(moved.paths.folder).config == moved.config
    # A token says the address, so that an unused one is void, and the next has the new one.
    assert invited == ["south"]
    with pytest.raises(PrivacyRefusedError, match="no longer, valid"):
        moved.invitations.redeem("south", invitation.secret, "a" * 64, "key")
    assert moved.invite("south", 1.0).address == "fed.example.org:9443"
    # A port of its own, behind a proxy for example, stays; and the renewed certificate is for the new host alone.
    again, _ = moved.move("fed.example.org:443", port=8443)
    assert (again.config.address, again.config.port) == ("fed.example.org:443", 8443)
    third, _ = again.move("other.org:444")
    assert third.config.port == 8443
    third.renew()
    assert "fed.example.org" not in names(third)


@pytest.mark.parametrize("address", ["", "nowhere", "host:0", "a/b:1"])
def test_moving_to_what_is_no_address_changes_nothing(federation, address: str) -> None:
    files = {path: path.read_bytes() for path in federation.paths.folder.glob("*") if path.is_file()}
    with pytest.raises(StudyError, match="HOST:PORT"):
        federation.move(address)
    assert {path: path.read_bytes() for path in files} == files


def test_moving_cut_off_before_its_end_is_done_by_the_same_command(federation, monkeypatch) -> None:
    real, folder = federation_module.write_atomic, federation.paths.folder

    def cut(path: Path, content: bytes) -> None:
        if path == federation.paths.config:
            raise KeyboardInterrupt
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(federation_module, "write_atomic", cut)
        with pytest.raises(KeyboardInterrupt):
            federation.move("fed.example.org:9443")
    # The old address works as before.
    Federation.open(folder).check_certificate()
    moved, _ = Federation.open(folder).move("fed.example.org:9443")
    moved.check_certificate()


def test_moving_with_a_given_certificate(tmp_path) -> None:
    authority = make_authority("Hospital IT", NOW)
    first = given_files(tmp_path / "one", authority=authority)
    federation = Federation.create(tmp_path / "f", name="x", address="fed.example.org:1", certificate=first)
    with pytest.raises(StudyError, match="would refuse"):
        federation.move("other.example.org:1")
    assert federation.config.address == "fed.example.org:1"
    # Another port of the same host needs no other certificate.
    moved, _ = federation.move("fed.example.org:2")
    assert moved.config.address == "fed.example.org:2"


def test_sites_are_added_once(federation) -> None:
    sites = federation.sites
    first = sites.add(site("north"))
    assert sites.add(site("north", node_id=9)) == first
    with pytest.raises(PrivacyRefusedError, match="already with other keys"):
        sites.add(site("north", node_key="other"))
    for key in ({"node_key": "key of north"}, {"identity_key": first.identity_key}):
        with pytest.raises(PrivacyRefusedError, match="another site"):
            sites.add(site("south", **key))
    assert list(sites.active()) == ["north"]


def test_a_removed_site_comes_back_only_with_new_keys(federation) -> None:
    federation.sites.add(site("north"))
    federation.invite("south", 1)
    assert federation.remove("north").revoked is not None
    assert federation.sites.active() == {}
    assert list(federation.sites.all()) == ["north"]
    with pytest.raises(PrivacyRefusedError, match="a removed site"):
        federation.sites.add(site("north"))
    federation.sites.add(site("north", node_key="new", identity_key="1" * 64))
    assert federation.sites.active()["north"].node_key == "new"


def test_only_a_member_can_be_removed_and_again(federation) -> None:
    federation.sites.add(site("north"))
    federation.sites.add(site("south"))
    assert federation.remove("north") == federation.remove("north")
    with pytest.raises(StudyError, match="its sites are south"):
        federation.remove("nobody")


def test_a_member_is_not_invited_again(federation) -> None:
    federation.sites.add(site("north"))
    with pytest.raises(StudyError, match="remove"):
        federation.invite("north", 1)


@pytest.mark.parametrize(("name", "hours"), [("a/b", 1), ("", 1), ("a" * 64, 1), ("a", 0), ("a", 1e9)])
def test_invitations_that_cannot_be(federation, name: str, hours: float) -> None:
    with pytest.raises(StudyError):
        federation.invite(name, hours)
    assert federation.invitations.issued() == []


def test_the_secret_is_not_kept(federation) -> None:
    invitation = federation.invite("north", 1)
    for path in federation.paths.folder.rglob("*"):
        assert path.is_dir() or invitation.secret.encode() not in path.read_bytes()


def test_damage_is_not_taken_for_an_empty_registry(federation) -> None:
    federation.sites.add(site("north"))
    federation.paths.sites.write_text("{}")
    for use in (federation.sites.active, lambda: federation.sites.add(site("south"))):
        with pytest.raises(DataError, match="damaged"):
            use()


def _enter(folder: Path, names: list[str]) -> None:
    federation = Federation.open(folder)
    for name in names:
        federation.sites.add(site(name))
        federation.invite(f"{name} again", 1)


def test_two_processes_lose_nothing(federation) -> None:
    names = [[f"{letter}{number}" for number in range(15)] for letter in "ab"]
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_enter, args=(federation.paths.folder, mine)) for mine in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert set(federation.sites.active()) == {name for mine in names for name in mine}
    assert len(federation.invitations.pending(datetime.now(UTC))) == 30
    assert len(federation.log.whole()) == 30


def test_a_lock_that_is_held_is_a_failure_of_the_federation(federation) -> None:

    lock = federation.paths.registry_lock
    with (
        held(lock),
        pytest.raises(LockedError, match=r"registry\.lock for 0\.05 s: wait"),
        held(lock, 0.05),
    ):
        pass


def test_studies_are_published_and_closed(federation, tmp_path) -> None:
    study = load_study("demo")
    roster = {"north": Identity.generate("north").public_key}
    signed = sign_manifest(manifest_of("Lung net", study, roster, NOW), federation.identity)
    entry = federation.studies.publish(signed, tmp_path / "run")
    sha256 = entry.manifest.study_sha256
    assert federation.studies.open() == {sha256: entry}
    assert federation.studies.find(sha256) == entry
    assert entry.sites == {"north"}
    assert entry.manifest.to_study() == study
    federation.studies.close(sha256)
    assert federation.studies.open() == {}
    assert federation.studies.all()[sha256].state == "closed"
    assert federation.studies.find("0" * 64) is None
    for bad in ("0" * 64, "../sites"):
        with pytest.raises(StudyError):
            federation.studies.close(bad)
