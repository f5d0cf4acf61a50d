"""The floor under any masking protocol of this kind: AES-256-CTR keystreams and modular additions, nothing else.

No keys are agreed, nothing is encoded, nothing is checked. A chunk of the sum stays in cache while every mask is
drawn over it, the order a good implementation uses too.
"""

from __future__ import annotations

import os
import time

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

CHUNK_BYTES = 256 * 1024
_BLOCK = 16

Words = NDArray[np.uint32]


def _stream() -> CipherContext:
    return Cipher(AES256(os.urandom(32)), CTR(bytes(_BLOCK))).encryptor()


def add_masks(words: Words, masks: int) -> None:
    """Add `masks` fresh keystreams to `words` in place, 256 KiB at a time."""
    streams = [_stream() for _ in range(masks)]
    zeros = memoryview(bytes(CHUNK_BYTES))
    # update_into asks for a block of slack behind the output, although CTR never fills it.
    drawn = bytearray(CHUNK_BYTES + _BLOCK - 1)
    step = CHUNK_BYTES // words.itemsize
    for start in range(0, len(words), step):
        part = words[start : start + step]
        mask = np.frombuffer(drawn, dtype=words.dtype, count=len(part))
        for stream in streams:
            stream.update_into(zeros[: part.nbytes], drawn)
            part += mask


def client_seconds(words: Words, sites: int) -> float:
    """A client's floor: its own mask and one per other site, n keystreams and n additions over P words."""
    started = time.perf_counter()
    add_masks(words, sites)
    return time.perf_counter() - started


def server_seconds(words: Words, upload: Words, sites: int, drops: int) -> float:
    """The server's floor: the survivors' uploads added, then their own masks and their masks with the lost taken off.

    With s = n - drops survivors: s additions of an upload, s + drops * s keystreams, as many additions.
    """
    survivors = sites - drops
    started = time.perf_counter()
    for _ in range(survivors):
        words += upload
    add_masks(words, survivors * (1 + drops))
    return time.perf_counter() - started
