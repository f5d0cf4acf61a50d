"""Certificates are such that OpenSSL and Python accept them at their strictest, and bad ones are named."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedgen.errors import StudyError
from fedgen_server.certificate_check import check_certificate
from fedgen_server.certificates import Pair, ends, fingerprint, make_authority, make_server

NOW = datetime.now(UTC)
AUTHORITY = make_authority("Lung net", NOW)


@pytest.fixture
def files(tmp_path):
    """`files(pair, authority)`: paths of certificate, key and authority."""

    def write(pair: Pair, authority: bytes = AUTHORITY.certificate):
        paths = [tmp_path / name for name in ("server.crt", "server.key", "ca.crt")]
        for path, content in zip(paths, (pair.certificate, pair.key, authority), strict=True):
            path.write_bytes(content)
        return paths

    return write


@pytest.mark.parametrize("host", ["fed.example.org", "10.1.2.3", "2001:db8::7"])
def test_sites_accept_it_for_its_host_and_for_this_machine(files, host: str) -> None:
    paths = files(make_server(AUTHORITY, host, NOW))
    for name in (host, "localhost", "127.0.0.1"):
        check_certificate(*paths, name)


@pytest.mark.parametrize("host", ["other.example.org", "10.1.2.4", "example.org", "www.fed.example.org"])
def test_not_for_another_host(files, host: str) -> None:
    paths = files(make_server(AUTHORITY, "fed.example.org", NOW))
    with pytest.raises(StudyError, match=rf"connect to {host}.*mismatch.*{host}.*\.$"):
        check_certificate(*paths, host)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed")
@pytest.mark.parametrize(
    ("host", "option"), [("fed.example.org", "-verify_hostname"), ("10.1.2.3", "-verify_ip")]
)
def test_the_openssl_command_accepts_it_strictly(files, host: str, option: str) -> None:
    certificate, _, ca = files(make_server(AUTHORITY, host, NOW))
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, option, host]
    done = subprocess.run([*command, certificate], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        ["openssl", "x509", "-in", ca, "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip().partition("=")[2].replace(":", "").lower() == fingerprint(ca.read_bytes())


def test_extensions_and_lives() -> None:
    ca = x509.load_pem_x509_certificate(AUTHORITY.certificate)
    server = x509.load_pem_x509_certificate(make_server(AUTHORITY, "fed.example.org", NOW).certificate)
    assert ca.not_valid_after_utc - ca.not_valid_before_utc == timedelta(days=3650)
    assert server.not_valid_after_utc - server.not_valid_before_utc == timedelta(days=397)
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value == x509.BasicConstraints(True, 0)
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.key_cert_sign and not usage.value.digital_signature
    subject = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    issuer = server.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert subject == issuer
    assert isinstance(server.public_key().curve, ec.SECP256R1)
    server.verify_directly_issued_by(ca)


def test_a_server_cannot_act_as_an_authority(files) -> None:
    server = make_server(AUTHORITY, "fed.example.org", NOW)
    forged = make_server(server, "fed.example.org", NOW - timedelta(days=2))
    chain = Pair(forged.certificate + server.certificate, forged.key)
    with pytest.raises(StudyError, match="would refuse"):
        check_certificate(*files(chain), "fed.example.org")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (NOW - timedelta(days=398), "certificate has expired"),
        (NOW + timedelta(days=2), "certificate is not yet valid"),
    ],
)
def test_a_certificate_of_another_time(files, made: datetime, words: str) -> None:
    authority = make_authority("Old", NOW - timedelta(days=500))
    paths = files(make_server(authority, "fed.example.org", made), authority.certificate)
    with pytest.raises(StudyError, match=words):
        check_certificate(*paths, "fed.example.org")


def test_another_authority_of_the_same_name(files) -> None:
    other = make_authority("Lung net", NOW)
    paths = files(make_server(other, "fed.example.org", NOW))
    with pytest.raises(StudyError, match="would refuse"):
        check_certificate(*paths, "fed.example.org")


def test_a_key_that_does_not_fit(files) -> None:
    one, other = (make_server(AUTHORITY, "fed.example.org", NOW) for _ in range(2))
    with pytest.raises(StudyError, match="does not belong"):
        check_certificate(*files(Pair(one.certificate, other.key)), "fed.example.org")


def test_a_key_with_a_passphrase_does_not_ask(files) -> None:
    pair = make_server(AUTHORITY, "fed.example.org", NOW)
    key = serialization.load_pem_private_key(pair.key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    with pytest.raises(StudyError, match="passphrase"):
        check_certificate(*files(Pair(pair.certificate, key)), "fed.example.org")


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("content", [b"", b"no certificate", None])
def test_files_that_are_none(files, which: int, content: bytes | None) -> None:
    paths = files(make_server(AUTHORITY, "fed.example.org", NOW))
    paths[which].unlink() if content is None else paths[which].write_bytes(content)
    with pytest.raises(StudyError, match=rf"{paths[which].name}.*: .*\.$"):
        check_certificate(*paths, "fed.example.org")


def test_two_authorities_cannot_be_pinned(files) -> None:
    both = AUTHORITY.certificate + make_authority("Second", NOW).certificate
    with pytest.raises(StudyError, match="holds 2 certificates"):
        check_certificate(*files(make_server(AUTHORITY, "a.example", NOW), both), "a.example")


def test_an_authority_near_its_end_makes_no_certificate() -> None:
    authority = make_authority("Old", NOW - timedelta(days=3650 - 396))
    with pytest.raises(StudyError, match="too soon"):
        make_server(authority, "fed.example.org", NOW)


def test_when_it_ends() -> None:
    assert ends(AUTHORITY.certificate) > NOW + timedelta(days=3649)
    assert ssl.cert_time_to_seconds(f"{ends(AUTHORITY.certificate):%b %d %H:%M:%S %Y GMT}") > NOW.timestamp()
