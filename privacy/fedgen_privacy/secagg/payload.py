"""The masked vector: lanes of the ring for an update, then 64-bit lanes for counts, weight and metrics.

One array of uint32 words holds both, so that masking, sending and summing handle a single buffer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fedgen_privacy.secagg.parameters import Parameters

Words = np.ndarray[Any, np.dtype[np.uint32]]
Lanes = np.ndarray[Any, np.dtype[Any]]

#: A count of contributions and the weight come before the metrics.
FIXED_TAIL = 2


@dataclass(frozen=True)
class PayloadLayout:
    """Where things are in the words of a session's vectors.

    Attributes:
        ring_bits: 16 or 32.
        length: P, coordinates of the update.
        tail: 64-bit lanes behind them.
    """

    ring_bits: int
    length: int
    tail: int

    @classmethod
    def of(cls, parameters: Parameters) -> PayloadLayout:
        """The layout that parameters ask for."""
        return cls(parameters.ring_bits, parameters.length, FIXED_TAIL + parameters.metrics)

    @property
    def body_words(self) -> int:
        """Words of the update, an even number so that the tail is aligned."""
        words = -(-self.length * self.ring_bits // 32)
        return words + words % 2

    @property
    def words(self) -> int:
        """Words in all."""
        return self.body_words + 2 * self.tail

    def zeros(self) -> Words:
        """An empty sum."""
        return np.zeros(self.words, dtype=np.uint32)

    def ring(self, words: Words) -> Lanes:
        """The update's part as ring elements, padding included: a view."""
        return words[: self.body_words].view(np.uint32 if self.ring_bits == 32 else np.uint16)

    def tail_of(self, words: Words) -> Lanes:
        """The tail as uint64: a view."""
        return words[self.body_words :].view(np.uint64)
