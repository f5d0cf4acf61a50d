"""Masks: AES-256-CTR keystreams added to or subtracted from a vector, chunk by chunk.

A mask is never held whole, so masking needs one copy of the vector and a chunk. All streams work on a
chunk while it is in the cache.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

from fedgen_privacy.secagg.payload import Lanes, PayloadLayout, Words

CHUNK_BYTES = 256 * 1024

if sys.byteorder != "little":
    raise ImportError("fedgen's masks are little-endian words, and this machine is not: run it on another.")


class Keystream:
    """AES-256-CTR from a zero counter: a key makes one stream, used once."""

    def __init__(self, key: bytes) -> None:
        self._context: CipherContext = Cipher(AES256(key), CTR(bytes(16))).encryptor()

    def fill(self, lanes: Lanes, zeros: bytes) -> None:
        """Overwrite `lanes` with the next bytes of the stream; `zeros` has at least as many bytes."""
        self.fill_bytes(lanes.view(np.uint8).data, memoryview(zeros)[: lanes.nbytes])

    def fill_bytes(self, target: memoryview, zeros: memoryview) -> None:
        """The same for memory that is at hand as bytes; both have the same length."""
        self._context.update_into(zeros, target)


class Masks:
    """The masks of one vector, applied from its first word to its last.

    Args:
        add: keys of masks to add.
        subtract: keys of masks to subtract.
    """

    def __init__(self, add: Sequence[bytes], subtract: Sequence[bytes]) -> None:
        self._streams: list[tuple[np.ufunc, Keystream]] = [(np.add, Keystream(key)) for key in add]
        self._streams += [(np.subtract, Keystream(key)) for key in subtract]
        self._zeros = bytes(CHUNK_BYTES)
        self._buffer = np.empty(CHUNK_BYTES, dtype=np.uint8)

    def apply(self, lanes: Lanes) -> None:
        """Mask the next lanes of the vector in place, modulo their own width; any number of bytes up to a chunk."""
        mask = self._buffer[: lanes.nbytes].view(lanes.dtype)
        target, zeros = self._buffer[: lanes.nbytes].data, memoryview(self._zeros)[: lanes.nbytes]
        for operation, stream in self._streams:
            stream.fill_bytes(target, zeros)
            operation(lanes, mask, lanes)


def chunks(lanes: Lanes) -> list[slice]:
    """Slices of `lanes` of at most a chunk's bytes."""
    step = CHUNK_BYTES // lanes.itemsize
    return [slice(start, min(start + step, len(lanes))) for start in range(0, len(lanes), step)]


def mask_words(words: Words, layout: PayloadLayout, add: Sequence[bytes], subtract: Sequence[bytes]) -> None:
    """Mask or unmask a whole vector in place."""
    masks = Masks(add, subtract)
    for lanes in (layout.ring(words), layout.tail_of(words)):
        for piece in chunks(lanes):
            masks.apply(lanes[piece])
