"""Joining: one authority is believed, no secret leaves before, and doing it again does no harm."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedgen.errors import DataError, FederationError, PrivacyRefusedError, StudyError
from fedgen.run.journal import Journal
from fedgen_client.enrol import join

NORTH = "north"


def private_texts(folder) -> list[bytes]:
    """The private keys in every writing in which they might be sent."""
    raw = folder.identity_key.read_bytes()
    pem = folder.node_key.read_bytes()
    number = folder.node_private_key().private_numbers().private_value
    inner = b"".join(pem.splitlines()[1:-1])
    escaped = json.dumps(pem.decode()).encode()
    return [raw, raw.hex().encode(), pem, inner, escaped, f"{number:x}".encode(), str(number).encode()]


def test_a_site_joins(stub, folder) -> None:
    joined = join(folder, stub.token())
    assert not joined.again
    membership = folder.membership()
    assert membership == joined.membership
    assert (membership.federation, membership.site, membership.node_id) == ("lungs", NORTH, 7)
    assert membership.coordinator_key == stub.identity.public_key.hex()
    assert folder.ca.read_bytes() == stub.authority.pem
    assert stub.joined[NORTH]["identity_key"] == folder.identity(NORTH).public_key.hex()
    assert stub.joined[NORTH]["node_key"] == folder.node_public_pem()
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_no_private_key_is_ever_sent(stub, folder, member, command, secure_study, others) -> None:
    stub.offer(secure_study(), **others)
    assert command("studies", folder=folder).exit_code == 0
    join(folder, stub.token())
    assert len(stub.requests) > 4
    for text in private_texts(folder):
        assert text not in stub.bodies
    for path in (folder.identity_key, folder.node_key):
        assert path.stat().st_mode & 0o777 == 0o600
    # The recorder does see what is sent.
    assert folder.identity(NORTH).public_key.hex().encode() in stub.bodies


def test_another_authority_is_refused_before_the_secret_is_sent(stub, folder) -> None:
    with pytest.raises(FederationError, match="is not the coordinator that made this token") as error:
        join(folder, stub.token(ca_sha256="0" * 64))
    assert stub.authority.sha256 in str(error.value)
    assert [request.path for request in stub.requests] == ["/fedgen/v1/ca"]
    assert stub.secret.encode() not in stub.bodies
    assert not folder.path.exists()


def test_the_right_authority_shown_by_an_impostor_is_refused(serve, authority, folder, monkeypatch) -> None:
    """Who only repeats the authority, and has no certificate of it, gets nothing."""
    impostor = serve(type(authority).make("impostor"), shown=authority.pem)
    with pytest.raises(
        FederationError, match=r"shows a certificate that the authority pinned .* did not sign"
    ):
        join(folder, impostor.token(ca_sha256=authority.sha256))
    assert [request.path for request in impostor.requests] == ["/fedgen/v1/ca"]
    assert impostor.secret.encode() not in impostor.bodies
    assert not folder.membership_file.exists()


def test_only_the_pinned_certificate_of_a_bundle_is_kept(serve, authority, folder) -> None:
    other = type(authority).make("other")
    stub = serve(authority, shown=other.pem + authority.pem)
    join(folder, stub.token())
    assert folder.ca.read_bytes() == authority.pem


@pytest.mark.parametrize("shown", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_no_certificate_at_all(serve, authority, folder, shown) -> None:
    stub = serve(authority, shown=shown)
    with pytest.raises(FederationError, match="but none came, so nothing secret was sent"):
        join(folder, stub.token())


def test_an_expired_token(stub, folder) -> None:
    stub.secrets[stub.secret] = datetime.now(UTC) - timedelta(seconds=1)
    with pytest.raises(PrivacyRefusedError, match="token has expired: ask the coordinator for a new one"):
        join(folder, stub.token())
    assert not folder.membership_file.exists()


def test_a_token_that_another_site_used(stub, folder, tmp_path) -> None:
    join(type(folder)(tmp_path / "first"), stub.token())
    with pytest.raises(
        PrivacyRefusedError, match="token was used already: ask the coordinator for a new one"
    ):
        join(folder, stub.token())
    assert not folder.membership_file.exists()


def test_a_token_of_another_federation(stub, folder) -> None:
    with pytest.raises(PrivacyRefusedError, match="not one of this federation"):
        join(folder, stub.token(secret="x" * 40))


@pytest.mark.parametrize("token", ["", "hello", "fedgen1.", "fedgen1.e30", "fedgen1.###"])
def test_what_is_no_token(stub, folder, token) -> None:
    with pytest.raises(StudyError, match="token"):
        join(folder, token)
    assert stub.requests == []


def test_a_lost_reply_does_not_lock_a_hospital_out(stub, folder) -> None:
    stub.lose_join_reply = True
    with pytest.raises(FederationError, match="broke"):
        join(folder, stub.token())
    assert not folder.membership_file.exists()
    keys = [path.read_bytes() for path in (folder.identity_key, folder.node_key)]
    joined = join(folder, stub.token())
    assert not joined.again
    assert keys == [path.read_bytes() for path in (folder.identity_key, folder.node_key)]


def test_joining_again_changes_nothing(stub, folder, edit_site_file) -> None:
    first = join(folder, stub.token())
    edit_site_file(folder, ("minimum_sites: 3 ", "minimum_sites: 5 "))

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.path.iterdir() if "log.jsonl" not in path.name}

    before = files()
    second = join(folder, stub.token())
    assert (second.again, second.site_file_made) == (True, False)
    assert second.membership == first.membership
    assert files() == before


def test_a_folder_has_one_federation(stub, serve, authority, folder) -> None:
    join(folder, stub.token())
    second = serve(type(authority).make("second"))
    with pytest.raises(FederationError, match=r"is already north of the federation lungs.* with --folder"):
        join(folder, second.token())
    assert second.requests == []


def test_a_folder_is_one_site(stub, folder) -> None:
    join(folder, stub.token())
    with pytest.raises(FederationError, match="is already north of the federation lungs"):
        join(folder, stub.token(site="south"))


def test_a_coordinator_with_another_key_is_another_federation(stub, folder) -> None:
    """The same authority may sign for several coordinators."""
    join(folder, stub.token())
    before = folder.membership_file.read_bytes()
    stub.identity = type(stub.identity).generate("coordinator")
    with pytest.raises(FederationError, match="is already north"):
        join(folder, stub.token())
    assert folder.membership_file.read_bytes() == before


def test_a_reply_for_another_site_is_refused(stub, folder) -> None:
    reply = {"federation": "lungs", "coordinator_key": "0" * 64, "site": "south", "node_id": 1}
    stub.answers["/fedgen/v1/join"] = (200, json.dumps(reply).encode())
    with pytest.raises(FederationError, match="enrolled south where the token is for north"):
        join(folder, stub.token())
    assert not folder.membership_file.exists()


@pytest.mark.parametrize(
    "name", ["images", "with blank", 'quote"d', "it's: {odd} #1", "back\\slash", "\\1\\g<0>"]
)
def test_the_data_folder_is_written_into_a_new_site_file(stub, folder, tmp_path, name) -> None:
    data = tmp_path / name
    data.mkdir()
    assert join(folder, stub.token(), data).site_file_made
    site = folder.load_site_file()
    assert site.cohorts["main"].folder == data
    assert "# fewest sites in a study" in folder.site_file.read_text()


def test_a_data_folder_that_is_not_there(stub, folder, tmp_path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        join(folder, stub.token(), tmp_path / "absent")
    assert stub.requests == []


def test_joining_is_in_the_log(stub, folder) -> None:
    join(folder, stub.token())
    sent, joined = Journal(folder.log).entries()
    assert (sent["event"], sent["kind"], sent["to"]) == ("sent", "join", stub.address)
    (request,) = [request for request in stub.requests if request.method == "POST"]
    assert sent["bytes"] == len(request.body)
    assert (joined["event"], joined["federation"]) == ("joined", "lungs")
    assert stub.secret not in folder.log.read_text()
