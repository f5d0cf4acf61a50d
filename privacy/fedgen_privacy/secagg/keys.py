"""Keys of a session: all derived from X25519 and the session id with HKDF-SHA256 under labels of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedgen_privacy.secagg.codec import u16, u32
from fedgen_privacy.secagg.messages import Advert

LABEL = b"fedgen-sa/1 "
#: Each channel key seals one message in one direction, so its nonce never repeats.
_NONCE = bytes(12)


def session_id(
    digest: bytes, round: int, attempt: int, model: bytes, nonce: bytes, adverts: Iterable[Advert]
) -> bytes:
    """32 bytes that name the session: study, round, attempt, model, and the nonces and keys of both sides.

    Whoever was shown another model or other adverts works in another session: its signatures are not valid
    here and its masks do not cancel (Pasquini et al., CCS 2022, on models that differ between sites).
    """
    hashed = hashlib.sha256(LABEL + b"session" + digest + u32(round) + u16(attempt) + model + nonce)
    for advert in adverts:
        hashed.update(advert.encode())
    return hashed.digest()


def agree(own: X25519PrivateKey, peer: bytes) -> bytes | None:
    """X25519's shared secret, None where the peer's key is not one that gives a secret (RFC 7748, section 6.1)."""
    try:
        return own.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        return None


def derive(secret: bytes, session: bytes, label: bytes) -> bytes:
    """A 32 byte key (RFC 5869): salt is the session id, info the label."""
    return HKDF(algorithm=SHA256(), length=32, salt=session, info=LABEL + label).derive(secret)


def pair_mask_key(shared: bytes, session: bytes, a: int, b: int) -> bytes:
    """Key of the mask that sites `a` and `b` add and subtract; the same whoever asks."""
    low, high = sorted((a, b))
    return derive(shared, session, b"pair mask" + u16(low) + u16(high))


def self_mask_key(seed: bytes, session: bytes, site: int) -> bytes:
    """Key of a site's own mask."""
    return derive(seed, session, b"self mask" + u16(site))


def seal(shared: bytes, session: bytes, sender: int, recipient: int, plaintext: bytes) -> bytes:
    """AES-256-GCM of shares, bound to session, sender and recipient."""
    key, about = _channel(shared, session, sender, recipient)
    return AESGCM(key).encrypt(_NONCE, plaintext, about)


def unseal(shared: bytes, session: bytes, sender: int, recipient: int, ciphertext: bytes) -> bytes:
    """The shares; raises cryptography's InvalidTag if they were not sealed for here."""
    key, about = _channel(shared, session, sender, recipient)
    return AESGCM(key).decrypt(_NONCE, ciphertext, about)


def _channel(shared: bytes, session: bytes, sender: int, recipient: int) -> tuple[bytes, bytes]:
    direction = u16(sender) + u16(recipient)
    return derive(shared, session, b"channel" + direction), session + direction


def seed_commitment(session: bytes, site: int, seed: bytes) -> bytes:
    """Commitment of a site to its self-mask seed."""
    return hashlib.sha256(LABEL + b"seed" + session + u16(site) + seed).digest()


def share_commitment(session: bytes, what: bytes, sender: int, recipient: int, share: bytes) -> bytes:
    """Commitment to one share; hiding, because a share alone is uniform over 2^256 values."""
    return hashlib.sha256(LABEL + what + b" share" + session + u16(sender) + u16(recipient) + share).digest()


def set_hash(session: bytes, sites: Iterable[int]) -> bytes:
    """Hash of a set of sites in a session."""
    return hashlib.sha256(LABEL + b"set" + session + b"".join(u16(site) for site in sorted(sites))).digest()
