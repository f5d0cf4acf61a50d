"""A federation's own certificate authority, and the certificate of its server.

Hospitals pin the authority by its fingerprint when they join, so the server's certificate can be renewed without
asking them. The extensions are those that RFC 5280 demands and OpenSSL's strict mode, the default of Python 3.13,
checks.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedgen.errors import StudyError

CA_LIFE = timedelta(days=3650)
#: What browsers and auditors accept at most is 398 days.
SERVER_LIFE = timedelta(days=397)
#: A certificate is valid from a little before it is made: the clocks of hospitals differ.
BACKDATED = timedelta(hours=1)
LOCAL = ("localhost", "127.0.0.1", "::1")
#: RFC 5280 allows no longer common name; hosts are compared by the subject's alternative names anyway.
_COMMON_NAME = 64


@dataclass(frozen=True)
class Pair:
    """A certificate (or a chain, its own first) and its private key, both PEM."""

    certificate: bytes
    key: bytes


def make_authority(federation: str, now: datetime) -> Pair:
    """A self-signed certificate authority that may sign servers and nothing else beneath itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"{federation[: _COMMON_NAME - 10]} fedgen CA")]
    )
    builder = _builder(name, name, key.public_key(), now, CA_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return _signed(builder.add_extension(identifier, critical=False), key, key)


def make_server(authority: Pair, host: str, now: datetime, also: Sequence[str] = ()) -> Pair:
    """A new key and certificate for the server at `host` (a DNS name or an IP address), and for this machine itself.

    Args:
        authority: that signs it.
        host: by which the sites reach it.
        now: the coordinator's clock.
        also: further hosts, such as one by which sites that have not moved yet still come.

    Raises:
        StudyError: the authority ends before such a certificate would.
    """
    ca = x509.load_pem_x509_certificate(authority.certificate)
    ca_key = _private_key(authority.key)
    if ca.not_valid_after_utc < now + SERVER_LIFE:
        raise StudyError(
            f"The federation's certificate authority ends on {ca.not_valid_after_utc:%Y-%m-%d}, too soon for a new "
            "server certificate: make a new federation with `fedgen-server init` and invite the sites again."
        )
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:_COMMON_NAME])])
    builder = _builder(name, ca.subject, key.public_key(), now, SERVER_LIFE)
    hosts = dict.fromkeys((host, *also, *LOCAL))
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage("digital_signature"), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([_alternative(name) for name in hosts]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return _signed(builder, key, ca_key)


def fingerprint(certificate: bytes) -> str:
    """SHA-256 (hex) of a PEM certificate's DER bytes, as `openssl x509 -fingerprint -sha256` counts it."""
    der = x509.load_pem_x509_certificate(certificate).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def ends(certificate: bytes) -> datetime:
    """When the (first) certificate of a PEM text ends, UTC."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    start = now.astimezone(UTC) - BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _signed(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey
) -> Pair:
    certificate = builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate, private)


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # made by `make_authority`
    return key


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*allowed: str) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in allowed for name in names})
