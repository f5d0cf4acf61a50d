"""Whether sites will accept a server's certificate: they are asked, in memory, by a TLS handshake as theirs.

OpenSSL itself decides, with the flags that are the default from Python 3.13 on: strict, and content with an
intermediate authority as the one that is pinned. Rules written here could differ from it. Files are given to it by
path, because Python's `ssl` reads keys from nowhere else.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography import x509

from fedgen.errors import StudyError

#: More turns than any handshake takes.
_TURNS = 16


def check_certificate(certificate: Path, key: Path, ca: Path, host: str) -> None:
    """Refuse a certificate with which no site could connect.

    Args:
        certificate: PEM, the server's own first, then what lies between it and the authority.
        key: PEM, its private key, without a passphrase.
        ca: PEM, the one authority that the sites will pin.
        host: by which the sites reach the server, a DNS name or an IP address.

    Raises:
        StudyError: a file cannot be read, the key does not fit, the certificate does not chain to the authority,
            has ended, or is for another host.
    """
    _read_authority(ca)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        reason = (
            "the key does not belong to the certificate"
            if error.reason == "KEY_VALUES_MISMATCH"
            else "they are no certificate and key in PEM form, or the key has a passphrase"
        )
        raise StudyError(
            f"{certificate} and {key} cannot be used, because {reason}: check the two files."
        ) from None
    except OSError as error:
        raise StudyError(
            f"{certificate} or {key} cannot be read ({error.strerror}): check the path and its permissions."
        ) from None
    client = ssl.create_default_context(cafile=str(ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        _shake_hands(client, server, host)
    except ssl.SSLCertVerificationError as error:
        raise StudyError(
            f"Sites that connect to {host} and trust {ca} would refuse {certificate} "
            f"({error.verify_message.rstrip('.')}): give a certificate of that authority for that host, valid today."
        ) from None
    except ssl.SSLError as error:
        raise StudyError(
            f"{certificate} cannot be used for TLS ({error.reason}): give another certificate."
        ) from None


def _read_authority(ca: Path) -> None:
    try:
        found = len(x509.load_pem_x509_certificates(ca.read_bytes()))
    except OSError as error:
        raise StudyError(
            f"{ca} cannot be read ({error.strerror}): check the path and its permissions."
        ) from None
    except ValueError:
        raise StudyError(f"{ca} is no certificate in PEM form: check the file.") from None
    if found != 1:
        raise StudyError(
            f"{ca} holds {found} certificates, and the sites pin one: leave the authority alone in it, and put the "
            "others behind the server's own certificate."
        )


def _no_passphrase() -> str:
    # Without it OpenSSL would ask on the terminal, and a service has none.
    return ""


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    waiting = set(ends)
    for _ in range(_TURNS):
        for end in [end for end in ends if end in waiting]:
            try:
                end.do_handshake()
                waiting.discard(end)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            return
    raise ssl.SSLError(1, "the handshake does not end")
