"""Joining: an invitation becomes a member, whatever is lost or repeated on the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fedgen.errors import StudyError
from fedgen.protocol.enrolment import JoinReply, JoinRequest
from fedgen_server.folder import Federation
from fedgen_server.sites import Member

#: Admits a node to Flower's Fleet API: public key (PEM) and name to node id, the same for the same key.
Register = Callable[[bytes, str], int]


def join(federation: Federation, request: JoinRequest, register: Register) -> JoinReply:
    """Redeem an invitation, admit the node and enter the site.

    A crash between any two of these, or a lost reply, is mended by the site asking again with the same keys.

    Raises:
        StudyError: a key is none.
        PrivacyRefusedError: see `Invitations.redeem` and `Sites.check`.
    """
    node_key = _node_key(request.node_key)
    _check_identity_key(request.identity_key)
    site, identity_key = request.site, request.identity_key
    federation.invitations.redeem(
        site,
        request.secret,
        identity_key,
        node_key,
        allowed=lambda: federation.sites.check(site, identity_key, node_key),
    )
    # Before the node is admitted: a used invitation of a site that was removed since must not bring it back.
    federation.sites.check(site, identity_key, node_key)
    node_id = register(node_key.encode(), site)
    now = datetime.now(UTC)
    entry = Member(name=site, identity_key=identity_key, node_key=node_key, node_id=node_id, joined=now)
    member = federation.sites.add(entry)
    if member is entry:
        federation.log.write("joined", site=site, fedgen=request.fedgen, identity_key=identity_key)
    return JoinReply(
        federation=federation.config.name,
        coordinator_key=federation.identity.public_key.hex(),
        site=site,
        node_id=member.node_id,
    )


def _node_key(pem: str) -> str:
    """The key written as Flower writes it, by which it is found again."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
        key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1
    ):
        raise StudyError(
            "The node key is no public key on a NIST curve in PEM form: use the coordinator's version of fedgen."
        )
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def _check_identity_key(key: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    except ValueError:
        raise StudyError(
            "The identity key is no Ed25519 public key: use the coordinator's version of fedgen."
        ) from None
