"""The protocol's bytes, frozen: fixed keys give these keys, masks and messages in every version of `fedgen-sa/1`.

Each value is computed here from hashlib, hmac and single AES blocks, and its digest is written down besides: two
sites of different versions of fedgen must agree on every byte, or their masks do not cancel.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedgen_privacy.secagg import Identity, Parameters, Roster, keys
from fedgen_privacy.secagg.masks import mask_words
from fedgen_privacy.secagg.messages import (
    Advert,
    Confirmation,
    ConfirmRequest,
    Envelope,
    MaskRequest,
    Receipt,
    ShareReply,
    ShareRequest,
    UnmaskReply,
    UnmaskRequest,
)
from fedgen_privacy.secagg.parameters import session_digest
from fedgen_privacy.secagg.payload import PayloadLayout

SESSION = bytes(range(100, 132))
SECRET = bytes(range(32))


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def filled(byte: int, size: int) -> bytes:
    return bytes([byte]) * size


@pytest.mark.parametrize(
    ("derived", "label", "expected"),
    [
        (
            keys.pair_mask_key(SECRET, SESSION, 7, 2),
            b"pair mask\x00\x02\x00\x07",
            "639cff1630ebe3e74953409a1e8695d3224d06fb64a54e88012e969b01a7999f",
        ),
        (
            keys.self_mask_key(SECRET, SESSION, 258),
            b"self mask\x01\x02",
            "244c6cf341be6a6d47cb16afce4d87abcaf081124fca88e7fe42553b09175a53",
        ),
        (
            keys.derive(SECRET, SESSION, b"anything"),
            b"anything",
            "8f8d0920a792c7419a045bf4c95ec3dc368beda377c8fa76afae4c70c1002e66",
        ),
    ],
    ids=["pair", "self", "derive"],
)
def test_derived_keys(reference: Any, derived: bytes, label: bytes, expected: str) -> None:
    assert derived == reference.hkdf(SECRET, SESSION, b"fedgen-sa/1 " + label)
    assert derived.hex() == expected


def test_the_reference_itself_is_rfc_5869_and_fips_197(reference: Any) -> None:
    """RFC 5869, test case 1 (its first 32 bytes); FIPS 197, appendix C.3, with counter and key exchanged for ours."""
    okm = reference.hkdf(filled(0x0B, 22), bytes(range(13)), bytes(range(0xF0, 0xFA)))
    assert okm.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    # AES-256 of the zero block under the zero key, as in NIST's known answers.
    assert reference.stream(bytes(32), 16).hex() == "dc95c078a2408989ad48a21492842087"


def test_agreement_is_rfc_7748() -> None:
    """RFC 7748, section 6.1."""
    alice = X25519PrivateKey.from_private_bytes(
        bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    )
    bob = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    shared = keys.agree(alice, bob)
    assert shared is not None
    assert shared.hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


def test_commitments_and_set_hashes() -> None:
    seed = keys.seed_commitment(SESSION, 3, SECRET)
    share = keys.share_commitment(SESSION, b"key", 1, 2, filled(9, 33))
    members = keys.set_hash(SESSION, [5, 0, 300])
    assert seed == sha(b"fedgen-sa/1 seed", SESSION, b"\x00\x03", SECRET)
    assert share == sha(b"fedgen-sa/1 key share", SESSION, b"\x00\x01\x00\x02", filled(9, 33))
    assert members == sha(b"fedgen-sa/1 set", SESSION, b"\x00\x00\x00\x05\x01\x2c")
    assert (
        sha(seed, share, members).hex() == "997d4eca8c72e90fc880e2651a74f9b73127f4bd02aaa2c61be558b831aa4abd"
    )


def test_sealed_shares(reference: Any) -> None:
    sealed = keys.seal(SECRET, SESSION, 1, 2, filled(7, 66))
    key = reference.hkdf(SECRET, SESSION, b"fedgen-sa/1 channel\x00\x01\x00\x02")
    assert sealed == AESGCM(key).encrypt(bytes(12), filled(7, 66), SESSION + b"\x00\x01\x00\x02")
    assert keys.unseal(SECRET, SESSION, 1, 2, sealed) == filled(7, 66)
    assert sha(sealed).hex() == "bb3b029ac7785b2a572b3388b7c947ab4bb7d705268175b64951d45f2e7bd666"


def test_the_digest_of_what_a_site_approved() -> None:
    roster = Roster({"north": filled(1, 32), "süd": filled(2, 32), "east": filled(3, 32)})
    parameters = Parameters(3, 3, 0, 0.5, 1000, 32, 10**6, 4)
    listed = (
        b"\x00\x04east"
        + filled(3, 32)
        + b"\x00\x05north"
        + filled(1, 32)
        + "\x00\x04süd".encode()
        + filled(2, 32)
    )
    assert roster.sha256() == sha(b"fedgen-sa/1 roster", listed)
    assert parameters.encode() == struct.pack(">IIIdIIQI", 3, 3, 0, 0.5, 1000, 32, 10**6, 4)
    digest = session_digest(filled(4, 32), roster, parameters)
    assert digest == sha(b"fedgen-sa/1 manifest", filled(4, 32), roster.sha256(), parameters.encode())
    assert digest.hex() == "db859516d86d645752297bdc3feab6ea6194cb5b47c0f469fc035a4bcdc882e2"


ADVERT = Advert(filled(1, 32), 2**24 + 2, 258, 3, filled(4, 32), filled(5, 32), filled(6, 32), filled(7, 64))
ADVERT_BYTES = (
    b"FGSA\x01\x01"
    + filled(1, 32)
    + b"\x01\x00\x00\x02\x01\x02\x00\x03"
    + filled(4, 32)
    + filled(5, 32)
    + filled(6, 32)
)
ENVELOPE = Envelope(
    filled(1, 32), 2, 3, filled(4, 32), filled(5, 32), filled(6, 32), filled(7, 82), filled(8, 64)
)
ENVELOPE_BYTES = (
    b"FGSA\x01\x03"
    + filled(1, 32)
    + b"\x00\x02\x00\x03"
    + filled(4, 32)
    + filled(5, 32)
    + filled(6, 32)
    + filled(7, 82)
)
RECEIPT = Receipt(filled(1, 32), 2, filled(3, 32), filled(4, 64))
CONFIRMATION = Confirmation(filled(1, 32), 2, filled(3, 32), filled(4, 64))
REPLY = UnmaskReply(filled(1, 32), 2, ((0, filled(8, 33)), (5, filled(9, 33))))


def listed(*items: bytes) -> bytes:
    return struct.pack(">H", len(items)) + b"".join(struct.pack(">I", len(item)) + item for item in items)


MESSAGES = {
    "advert": (ADVERT, ADVERT_BYTES + filled(7, 64)),
    "share request": (
        ShareRequest(filled(1, 32), filled(2, 32), (ADVERT, ADVERT)),
        b"FGSA\x01\x02" + filled(1, 32) + filled(2, 32) + listed(*[ADVERT_BYTES + filled(7, 64)] * 2),
    ),
    "envelope": (ENVELOPE, ENVELOPE_BYTES + filled(8, 64)),
    "share reply": (ShareReply((ENVELOPE,)), b"FGSA\x01\x04" + listed(ENVELOPE_BYTES + filled(8, 64))),
    "mask request": (
        MaskRequest((ENVELOPE, ENVELOPE)),
        b"FGSA\x01\x05" + listed(*[ENVELOPE_BYTES + filled(8, 64)] * 2),
    ),
    "receipt": (RECEIPT, b"FGSA\x01\x06" + filled(1, 32) + b"\x00\x02" + filled(3, 32) + filled(4, 64)),
    "confirm request": (
        ConfirmRequest((RECEIPT,)),
        b"FGSA\x01\x07"
        + listed(b"FGSA\x01\x06" + filled(1, 32) + b"\x00\x02" + filled(3, 32) + filled(4, 64)),
    ),
    "confirmation": (
        CONFIRMATION,
        b"FGSA\x01\x08" + filled(1, 32) + b"\x00\x02" + filled(3, 32) + filled(4, 64),
    ),
    "unmask request": (
        UnmaskRequest((CONFIRMATION,)),
        b"FGSA\x01\x09"
        + listed(b"FGSA\x01\x08" + filled(1, 32) + b"\x00\x02" + filled(3, 32) + filled(4, 64)),
    ),
    "unmask reply": (
        REPLY,
        b"FGSA\x01\x0a"
        + filled(1, 32)
        + b"\x00\x02"
        + listed(b"\x00\x00" + filled(8, 33), b"\x00\x05" + filled(9, 33)),
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_message_bytes(name: str) -> None:
    message, expected = MESSAGES[name]
    assert message.encode() == expected
    assert type(message).decode(expected) == message


def test_all_message_bytes_at_once() -> None:
    assert (
        sha(*(message.encode() for message, _ in MESSAGES.values())).hex()
        == "4196c2463cbecb67dcce9e08ca5a6edba35009d12e6f1d56e26986159da44620"
    )


@pytest.mark.parametrize("message", [ADVERT, ENVELOPE, RECEIPT, CONFIRMATION], ids=lambda m: type(m).__name__)
def test_a_signature_covers_everything_before_it_and_is_rfc_8032(message: Any) -> None:
    identity = Identity.from_private_bytes("north", SECRET)
    signature = identity.sign(message.signed())
    assert message.signed() == message.encode()[:-64]
    assert signature == Ed25519PrivateKey.from_private_bytes(SECRET).sign(message.encode()[:-64])
    # Ed25519 signs deterministically, so this is a vector too; every field is part of it.
    for field in dataclasses.fields(message):
        if field.name != "signature":
            value = getattr(message, field.name)
            other = value + 1 if isinstance(value, int) else filled(99, len(value))
            assert dataclasses.replace(message, **{field.name: other}).signed() != message.signed()


def test_session_id() -> None:
    other = dataclasses.replace(ADVERT, site=4)
    found = keys.session_id(filled(1, 32), 2**24 + 2, 258, filled(2, 32), filled(3, 32), [ADVERT, other])
    assert found == sha(
        b"fedgen-sa/1 session",
        filled(1, 32),
        b"\x01\x00\x00\x02\x01\x02",
        filled(2, 32),
        filled(3, 32),
        ADVERT.encode(),
        other.encode(),
    )
    assert found.hex() == "2263cb939c0d751ba245f9cfc58b6d6c1745b8779ef5bc61a74a0d79ed556a4d"


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (16, "03989019bd33f2795ed9241e109e43f39af2cde111d23fef5164da579a0b5abd"),
        (32, "252138fb20d50d2822aeb9a2d7436d890e629dc26cc1341741e763a8a00dab27"),
    ],
)
def test_masked_bytes(reference: Any, bits: int, expected: str) -> None:
    """Over a chunk boundary, with an odd length: order of lanes, endianness, tail, sign."""
    layout = PayloadLayout(bits, 2**17 + 3, 3)
    words = (np.arange(layout.words, dtype=np.uint64) * 2654435761 % 2**32).astype(np.uint32)
    add, subtract = [filled(1, 32), SECRET], [filled(2, 32)]
    plain = words.copy()
    mask_words(words, layout, add, subtract)
    np.testing.assert_array_equal(words, reference.masked(plain, layout.body_words, bits, add, subtract))
    assert sha(words.astype("<u4").tobytes()).hex() == expected
    assert layout.words == (2**17 + 4) * bits // 32 + 6


def test_the_masked_vector_of_a_site_with_fixed_keys(drill: Any, contribution: Any, reference: Any) -> None:
    """A client's whole upload, sign of each pair included, with every random number fixed; values on the grid."""
    values = np.array([3, -2, 0, 2**20, -(2**20)], np.float32)
    session = drill(3, bound=float(2**29 // 3), weight_cap=1, length=5, metrics=1)
    session.contributions["site01"] = contribution(values, 1, (-0.5,))
    client = session.clients["site01"]
    privates = [filled(k + 1, 32) for k in range(3)]
    public = [X25519PrivateKey.from_private_bytes(p).public_key().public_bytes_raw() for p in privates]
    client._mask_key, client._seed = X25519PrivateKey.from_private_bytes(privates[1]), bytearray(SECRET)
    client._session, client._participants, client._opened = SESSION, (0, 1, 2), True
    client._adverts = {k: dataclasses.replace(ADVERT, site=k, mask_key=public[k]) for k in range(3)}
    receipt, words, clipped = client.mask(values, 1, (-0.5,))
    ring = np.array([3, -2, 0, 2**20, -(2**20), 0], "<i4").tobytes()
    tail = struct.pack("<QQq", 1, 1, -(2**31))
    plain = np.frombuffer(ring + tail, "<u4")
    expected = reference.masked(
        plain,
        6,
        32,
        add=[
            reference.self_key(SECRET, SESSION, 1),
            reference.pair_key(privates[1], public[2], SESSION, 1, 2),
        ],
        subtract=[reference.pair_key(privates[1], public[0], SESSION, 0, 1)],
    )
    np.testing.assert_array_equal(words, expected)
    assert clipped == 0
    assert (
        sha(words.astype("<u4").tobytes(), receipt).hex()
        == "188d221d1749ea78549405d4a046089812185f0776cbe8b3c24d99a6f589f881"
    )
