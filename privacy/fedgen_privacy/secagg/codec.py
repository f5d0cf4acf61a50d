"""Strict binary fields: every length and range is checked, nothing is skipped, nothing may be left over."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TypeVar

from fedgen_privacy.secagg.errors import MessageError

MAGIC = b"FGSA"
VERSION = 1
#: Sites of a roster; bounds every list, so that a length field cannot ask for memory.
MAX_SITES = 1024

T = TypeVar("T")


class Kind(IntEnum):
    """First byte after the header: what the message is."""

    ADVERT = 1
    SHARE_REQUEST = 2
    ENVELOPE = 3
    SHARE_REPLY = 4
    MASK_REQUEST = 5
    RECEIPT = 6
    CONFIRM_REQUEST = 7
    CONFIRMATION = 8
    UNMASK_REQUEST = 9
    UNMASK_REPLY = 10


def header(kind: Kind) -> bytes:
    """Magic, version and kind: also separates the domains of everything that is signed."""
    return MAGIC + bytes([VERSION, kind])


def u16(value: int) -> bytes:
    """Two bytes, big-endian."""
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    """Four bytes, big-endian."""
    return value.to_bytes(4, "big")


def listed(items: list[bytes]) -> bytes:
    """A list of encoded items: its count, then each item with its length."""
    return u16(len(items)) + b"".join(u32(len(item)) + item for item in items)


class Reader:
    """Reads one message's fields in order.

    Args:
        data: the whole message.
        kind: what it must be.

    Raises:
        MessageError: from any method, whenever the bytes are not what was expected.
    """

    def __init__(self, data: bytes, kind: Kind) -> None:
        if not isinstance(data, bytes):
            raise MessageError(f"A message must be bytes, not {type(data).__name__}.")
        self._data = data
        self._at = 0
        if self.take(len(MAGIC)) != MAGIC:
            raise MessageError("A message is not one of fedgen's secure aggregation.")
        version, found = self.take(2)
        if version != VERSION:
            raise MessageError(
                f"A message has version {version} of the secure aggregation protocol, not {VERSION}: "
                "both sides must run the same version of fedgen."
            )
        if found != kind:
            raise MessageError(
                f"A message of kind {found} came where {kind.name} ({kind.value}) was expected."
            )

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise MessageError("A message of the secure aggregation is cut off.")
        self._at += size
        return piece

    def u16(self) -> int:
        """An integer of two bytes."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """An integer of four bytes."""
        return int.from_bytes(self.take(4), "big")

    def site(self) -> int:
        """The number of a site in the roster."""
        number = self.u16()
        if number >= MAX_SITES:
            raise MessageError(
                f"A message names site number {number}, beyond the {MAX_SITES} a roster may have."
            )
        return number

    def list_of(self, decode: Callable[[bytes], T]) -> tuple[T, ...]:
        """A list of at most `MAX_SITES` encoded items."""
        count = self.u16()
        if count > MAX_SITES:
            raise MessageError(
                f"A message lists {count} items, more than the {MAX_SITES} sites a roster may have."
            )
        return tuple(decode(self.take(self.u32())) for _ in range(count))

    def end(self) -> None:
        """Nothing may follow the last field."""
        if self._at != len(self._data):
            raise MessageError(f"A message has {len(self._data) - self._at} bytes too many.")
