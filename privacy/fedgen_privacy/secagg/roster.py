"""Long-term identities of sites, and the roster that pins them for one study."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fedgen_privacy.errors import StudyError
from fedgen_privacy.secagg.codec import MAX_SITES, u16

PUBLIC_KEY_BYTES = 32
MAX_NAME_BYTES = 128


class Identity:
    """A site's Ed25519 signing key; it proves who sent something and encrypts nothing."""

    def __init__(self, site: str, key: Ed25519PrivateKey) -> None:
        self.site = site
        self._key = key

    @classmethod
    def generate(cls, site: str) -> Self:
        """A new one."""
        return cls(site, Ed25519PrivateKey.generate())

    @classmethod
    def from_private_bytes(cls, site: str, data: bytes) -> Self:
        """One that was stored; raises ValueError unless `data` has 32 bytes."""
        return cls(site, Ed25519PrivateKey.from_private_bytes(data))

    def private_bytes(self) -> bytes:
        """32 bytes to store where only the site can read them."""
        return self._key.private_bytes_raw()

    @property
    def public_key(self) -> bytes:
        """32 bytes for the roster."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """64 bytes (RFC 8032)."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"Identity({self.site!r})"


@dataclass(frozen=True, init=False)
class Roster:
    """The sites of a study and their public keys; a site's number is its place by name.

    Args:
        keys: site name to Ed25519 public key, 32 bytes.

    Raises:
        StudyError: no site, too many, a name or key that cannot be, or two sites with one key.
    """

    sites: tuple[str, ...]
    keys: tuple[bytes, ...]

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        names = tuple(sorted(keys))
        if not 1 <= len(names) <= MAX_SITES:
            raise StudyError(f"A roster needs 1 to {MAX_SITES} sites, not {len(names)}: mend the roster.")
        for name in names:
            # A name with half a character (a lone surrogate) is no text, and has no bytes to be hashed.
            size = len(name.encode(errors="replace")) if name.isprintable() else 0
            if not 1 <= size <= MAX_NAME_BYTES or len(keys[name]) != PUBLIC_KEY_BYTES:
                raise StudyError(
                    f"The roster's entry {name!r} has no usable name and {PUBLIC_KEY_BYTES} byte key: "
                    "ask the site for its public key again."
                )
        if len(set(keys.values())) != len(names):
            raise StudyError("Two sites of the roster have the same key: every site needs its own.")
        object.__setattr__(self, "sites", names)
        object.__setattr__(self, "keys", tuple(keys[name] for name in names))

    def __len__(self) -> int:
        return len(self.sites)

    def number(self, site: str) -> int:
        """The site's number; raises KeyError for a stranger."""
        try:
            return self.sites.index(site)
        except ValueError:
            raise KeyError(site) from None

    def verifies(self, number: int, message: bytes, signature: bytes) -> bool:
        """Whether the site with this number signed the message."""
        if number >= len(self.sites):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.keys[number]).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def sha256(self) -> bytes:
        """Of names and keys, each with its length."""
        parts = (
            u16(len(name.encode())) + name.encode() + key
            for name, key in zip(self.sites, self.keys, strict=True)
        )
        return hashlib.sha256(b"fedgen-sa/1 roster" + b"".join(parts)).digest()
