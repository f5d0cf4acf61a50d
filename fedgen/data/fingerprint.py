"""Fingerprints of images: SHA-256 for equality, a difference hash for likeness."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedgen.data.decoders.decoder import Pixels

#: Side of the difference hash: 16 x 16 comparisons, 256 bits.
DHASH_SIDE = 16


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of N images.

    Attributes:
        exact: (N, 32) uint8, SHA-256 of the decoded stored values and their shape.
        near: (N, 32) uint8, the 256 bits of the difference hash.
        blank: (N,) bool, images of a single value, which say nothing about a patient.
    """

    exact: NDArray[np.uint8]
    near: NDArray[np.uint8]
    blank: NDArray[np.bool_]

    @staticmethod
    def empty(n: int) -> Fingerprints:
        """Room for n fingerprints."""
        return Fingerprints(np.zeros((n, 32), np.uint8), np.zeros((n, 32), np.uint8), np.zeros(n, bool))

    @staticmethod
    def concatenate(parts: list[Fingerprints]) -> Fingerprints:
        """All images of several sets, in order."""
        return Fingerprints(
            np.concatenate([part.exact for part in parts]),
            np.concatenate([part.near for part in parts]),
            np.concatenate([part.blank for part in parts]),
        )

    def put(self, index: int, image: Pixels) -> None:
        """Fill in the fingerprint of image `index`, an array (H, W, c) of stored values."""
        self.exact[index] = np.frombuffer(sha256(image), np.uint8)
        self.near[index] = dhash(image)
        self.blank[index] = image.min() == image.max()


def sha256(image: Pixels) -> bytes:
    """32 bytes that agree exactly when shape and float32 values do, whatever file format held them."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image, dtype=np.float32).tobytes())
    return digest.digest()


def dhash(image: Pixels) -> NDArray[np.uint8]:
    """Difference hash (N. Krawetz, "Kind of like that", 2013): is each cell brighter than its left neighbour?

    Survives rescaling, recompression and changes of contrast; colour is averaged.

    Returns:
        (32,) uint8: 16 x 16 bits.
    """
    gray = Image.fromarray(image.mean(axis=-1, dtype=np.float32) if image.shape[-1] > 1 else image[..., 0])
    cells = np.asarray(gray.resize((DHASH_SIDE + 1, DHASH_SIDE), Image.Resampling.BILINEAR))
    return np.packbits(cells[:, 1:] > cells[:, :-1])
