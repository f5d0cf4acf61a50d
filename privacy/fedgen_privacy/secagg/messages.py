"""What sites and the coordinator send each other in a session, as bytes and back.

Everything one site says to another passes through the coordinator, so it is signed (`signed()` is what the
signature covers, with the message's kind in front) and belongs to one session: an `Advert` by the study's
digest, round and attempt, everything later by the session id that is derived from all adverts.
Sites are numbered by their place in the roster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeVar

from fedgen_privacy.secagg.codec import Kind, Reader, header, listed, u16, u32
from fedgen_privacy.secagg.errors import MessageError

HASH = 32
KEY = 32
NONCE = 32
SIGNATURE = 64
#: What the fields of an advert hold.
MAX_ROUND, MAX_ATTEMPT = 2**32 - 1, 2**16 - 1
T = TypeVar("T")

#: A share is a number below 2^256 + 297.
SHARE = 33
#: Two shares under AES-256-GCM with its 16 byte tag.
CIPHERTEXT = 2 * SHARE + 16


@dataclass(frozen=True)
class Advert:
    """ADVERTISE, from a site: its two public keys of this session."""

    digest: bytes
    round: int
    attempt: int
    site: int
    mask_key: bytes
    channel_key: bytes
    nonce: bytes
    signature: bytes = bytes(SIGNATURE)

    def signed(self) -> bytes:
        """What the site signs."""
        return (
            header(Kind.ADVERT)
            + self.digest
            + u32(self.round)
            + u16(self.attempt)
            + u16(self.site)
            + self.mask_key
            + self.channel_key
            + self.nonce
        )

    def encode(self) -> bytes:
        """As bytes."""
        return self.signed() + self.signature

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From bytes; raises MessageError."""
        read = Reader(data, Kind.ADVERT)
        message = cls(
            digest=read.take(HASH),
            round=read.u32(),
            attempt=read.u16(),
            site=read.site(),
            mask_key=read.take(KEY),
            channel_key=read.take(KEY),
            nonce=read.take(NONCE),
            signature=read.take(SIGNATURE),
        )
        read.end()
        return message


@dataclass(frozen=True)
class ShareRequest:
    """SHARE, from the coordinator: the model's hash, its nonce and everybody's adverts."""

    model: bytes
    nonce: bytes
    adverts: tuple[Advert, ...]

    def encode(self) -> bytes:
        """As bytes."""
        return (
            header(Kind.SHARE_REQUEST) + self.model + self.nonce + listed([a.encode() for a in self.adverts])
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From bytes; raises MessageError."""
        read = Reader(data, Kind.SHARE_REQUEST)
        message = cls(read.take(HASH), read.take(NONCE), read.list_of(Advert.decode))
        read.end()
        return message


@dataclass(frozen=True)
class Envelope:
    """One site's sealed shares for one other site, and its commitments to them.

    Attributes:
        seed_commitment: hash of the sender's self-mask seed.
        seed_share_commitment: hash of the share of that seed inside.
        key_share_commitment: hash of the share of the sender's mask key inside.
    """

    session: bytes
    sender: int
    recipient: int
    seed_commitment: bytes
    seed_share_commitment: bytes
    key_share_commitment: bytes
    ciphertext: bytes
    signature: bytes = bytes(SIGNATURE)

    def signed(self) -> bytes:
        """What the sender signs."""
        return (
            header(Kind.ENVELOPE)
            + self.session
            + u16(self.sender)
            + u16(self.recipient)
            + self.seed_commitment
            + self.seed_share_commitment
            + self.key_share_commitment
            + self.ciphertext
        )

    def encode(self) -> bytes:
        """As bytes."""
        return self.signed() + self.signature

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From bytes; raises MessageError."""
        read = Reader(data, Kind.ENVELOPE)
        message = cls(
            session=read.take(HASH),
            sender=read.site(),
            recipient=read.site(),
            seed_commitment=read.take(HASH),
            seed_share_commitment=read.take(HASH),
            key_share_commitment=read.take(HASH),
            ciphertext=read.take(CIPHERTEXT),
            signature=read.take(SIGNATURE),
        )
        read.end()
        return message


@dataclass(frozen=True)
class _Envelopes:
    envelopes: tuple[Envelope, ...]


@dataclass(frozen=True)
class ShareReply(_Envelopes):
    """SHARE, from a site: one envelope for every other site."""

    def encode(self) -> bytes:
        """As bytes."""
        return header(Kind.SHARE_REPLY) + listed([e.encode() for e in self.envelopes])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From bytes; raises MessageError."""
        return cls(_only_list(data, Kind.SHARE_REPLY, Envelope.decode))


@dataclass(frozen=True)
class MaskRequest(_Envelopes):
    """MASK, from the coordinator: the envelopes for one site; their senders and the site mask against one another."""

    def encode(self) -> bytes:
        """As bytes."""
        return header(Kind.MASK_REQUEST) + listed([e.encode() for e in self.envelopes])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From bytes; raises MessageError."""
        return cls(_only_list(data, Kind.MASK_REQUEST, Envelope.decode))


@dataclass(frozen=True)
class _SignedSet:
    """A site's signature over a set of sites.

    Attributes:
        set_hash: hash of the sites' numbers in the session.
    """

    session: bytes
    sender: int
    set_hash: bytes
    signature: bytes = bytes(SIGNATURE)

    def _signed(self, kind: Kind) -> bytes:
        return header(kind) + self.session + u16(self.sender) + self.set_hash

    @classmethod
    def _decode(cls, data: bytes, kind: Kind) -> Self:
        read = Reader(data, kind)
        message = cls(read.take(HASH), read.site(), read.take(HASH), read.take(SIGNATURE))
        read.end()
        return message


@dataclass(frozen=True)
class Receipt(_SignedSet):
    """MASK, from a site beside its masked vector: it masked against exactly this set.

    The vector itself is not hashed: whoever could change it under way is the coordinator, who may sum what it
    likes, or someone who broke the transport; hashing would cost a third of the masking.
    """

    def signed(self) -> bytes:
        """What the site signs."""
        return self._signed(Kind.RECEIPT)

    def encode(self) -> bytes:
        """As bytes."""
        return self.signed() + self.signature

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From bytes; raises MessageError."""
        return cls._decode(data, Kind.RECEIPT)


@dataclass(frozen=True)
class ConfirmRequest:
    """CONFIRM, from the coordinator: the receipts of all sites whose vector is in the sum."""

    receipts: tuple[Receipt, ...]

    def encode(self) -> bytes:
        """As bytes."""
        return header(Kind.CONFIRM_REQUEST) + listed([r.encode() for r in self.receipts])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From bytes; raises MessageError."""
        return cls(_only_list(data, Kind.CONFIRM_REQUEST, Receipt.decode))


@dataclass(frozen=True)
class Confirmation(_SignedSet):
    """CONFIRM, from a site: these survivors and no others were shown to it."""

    def signed(self) -> bytes:
        """What the site signs."""
        return self._signed(Kind.CONFIRMATION)

    def encode(self) -> bytes:
        """As bytes."""
        return self.signed() + self.signature

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From bytes; raises MessageError."""
        return cls._decode(data, Kind.CONFIRMATION)


@dataclass(frozen=True)
class UnmaskRequest:
    """UNMASK, from the coordinator: proof that enough sites were shown the same survivors."""

    confirmations: tuple[Confirmation, ...]

    def encode(self) -> bytes:
        """As bytes."""
        return header(Kind.UNMASK_REQUEST) + listed([c.encode() for c in self.confirmations])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From bytes; raises MessageError."""
        return cls(_only_list(data, Kind.UNMASK_REQUEST, Confirmation.decode))


@dataclass(frozen=True)
class UnmaskReply:
    """UNMASK, from a site: one share for every site of the session.

    Of a survivor it is a share of the self-mask seed, of a site that dropped out a share of the mask key: which of
    the two follows from the confirmed set, so the message cannot say otherwise.
    """

    session: bytes
    sender: int
    shares: tuple[tuple[int, bytes], ...]

    def encode(self) -> bytes:
        """As bytes."""
        return (
            header(Kind.UNMASK_REPLY)
            + self.session
            + u16(self.sender)
            + listed([u16(owner) + share for owner, share in self.shares])
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From bytes; raises MessageError."""
        read = Reader(data, Kind.UNMASK_REPLY)
        message = cls(read.take(HASH), read.site(), read.list_of(_share))
        read.end()
        return message


def _share(item: bytes) -> tuple[int, bytes]:
    if len(item) != 2 + SHARE:
        raise MessageError(f"A share has {len(item) - 2} bytes, not {SHARE}.")
    return int.from_bytes(item[:2], "big"), item[2:]


def _only_list(data: bytes, kind: Kind, decode: Callable[[bytes], T]) -> tuple[T, ...]:
    read = Reader(data, kind)
    items = read.list_of(decode)
    read.end()
    return items
