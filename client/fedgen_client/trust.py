"""Which certificate authority is believed: the one whose fingerprint the token carried, and no other."""

from __future__ import annotations

import hashlib
import ssl

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding


def pinned(ca_pem: str) -> ssl.SSLContext:
    """TLS that trusts certificates of this authority for the name they are made for, and nothing else.

    Raises:
        ValueError: not certificates in PEM.
    """
    try:
        context = ssl.create_default_context(cadata=ca_pem)
    except ssl.SSLError as error:
        raise ValueError("not certificates in PEM") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # An authority of the hospital's own country may sign through an intermediate one, which is then what is pinned.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def unverified() -> ssl.SSLContext:
    """TLS that believes anybody: only for fetching the authority, which is then compared with its fingerprint."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate's DER, hex."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def certificates(pem: bytes) -> list[x509.Certificate]:
    """Every certificate of a PEM text; none where it is no such text."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def matching(found: list[x509.Certificate], ca_sha256: str) -> str | None:
    """The one certificate with this fingerprint, in PEM, or None; the others are nobody to us."""
    for certificate in found:
        if fingerprint(certificate) == ca_sha256:
            return certificate.public_bytes(Encoding.PEM).decode("ascii")
    return None
