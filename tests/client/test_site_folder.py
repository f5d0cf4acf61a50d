"""The site's keys are made once, kept for their owner alone, and of the kind that the coordinator registers."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fedgen.errors import DataError, FederationError, PrivacyRefusedError
from fedgen.run.hints import speak_as
from fedgen_client.folder import SiteFolder
from fedgen_client.hints import COMMAND
from fedgen_privacy.secret_file import make_secret


def test_the_node_key_is_p384_and_made_once(folder: SiteFolder) -> None:
    first = folder.node_private_key()
    assert isinstance(first.curve, ec.SECP256R1)
    assert folder.node_private_key().private_numbers() == first.private_numbers()
    assert folder.node_key.stat().st_mode & 0o777 == 0o600
    assert folder.node_key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


def test_the_public_half_is_its_own(folder: SiteFolder) -> None:
    public = serialization.load_pem_public_key(folder.node_public_pem().encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.public_numbers() == folder.node_private_key().public_key().public_numbers()
    assert "PRIVATE" not in folder.node_public_pem()


def test_keys_that_others_can_read_are_refused(folder: SiteFolder) -> None:
    folder.node_private_key()
    folder.identity("north")
    for path in (folder.node_key, folder.identity_key):
        path.chmod(0o640)
    speak_as(COMMAND)
    for use in (folder.node_private_key, lambda: folder.identity("north")):
        with pytest.raises(PrivacyRefusedError, match="can be read by others"):
            use()


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\n", b"\x00" * 48])
def test_a_damaged_node_key_is_one_sentence(folder: SiteFolder, content: bytes) -> None:
    make_secret(folder.node_key, content)
    with pytest.raises(DataError, match=r"node\.key is damaged: restore it from its backup"):
        folder.node_private_key()
    assert folder.node_key.read_bytes() == content


def test_a_key_of_another_kind_is_refused(folder: SiteFolder) -> None:
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    make_secret(folder.node_key, other)
    with pytest.raises(DataError, match="is damaged"):
        folder.node_private_key()


def test_a_full_disk_is_one_sentence(folder: SiteFolder, monkeypatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedgen_privacy.durable.os.fsync", full)
    speak_as(COMMAND)
    for use in (folder.node_private_key, lambda: folder.identity("north")):
        with pytest.raises(
            DataError,
            match=r"The disk is full while writing .*: free some space and run the same command again",
        ):
            use()


def test_a_site_that_has_not_joined_is_told_how(folder: SiteFolder) -> None:
    with pytest.raises(FederationError, match=r"has joined no federation .* `fedgen-client join TOKEN`"):
        folder.membership()


@pytest.mark.parametrize("text", ["", "{}", '{"federation": "x"}', "\xff"])
def test_a_damaged_membership_is_one_sentence(folder: SiteFolder, text: str) -> None:
    folder.path.mkdir()
    folder.membership_file.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="is damaged: restore it from its backup, or join again"):
        folder.membership()
