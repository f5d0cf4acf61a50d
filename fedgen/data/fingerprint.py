"""Fingerprints of images: SHA-256 for equality, a difference hash and the fine detail for likeness."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedgen.data.decoders.decoder import Pixels

#: Side of the difference hash: 16 x 16 comparisons, 256 bits.
DHASH_SIDE = 16
#: Side of the small picture that likeness is judged on, and of its blocks, whose means are taken away.
SMALL, _BLOCK = 32, 4
#: A step between neighbouring cells counts only beyond this share of the picture's range: the noise of a black
#: background would otherwise make a hash of chance.
_STEP = 0.02
#: Detail beyond this many times its root mean square counts hardly more than that.
_SOFT = 0.5


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of N images.

    Attributes:
        exact: (N, 32) uint8, SHA-256 of the decoded stored values and their shape.
        near: (N, 32) uint8, the 256 bits of the difference hash.
        detail: (N, 1024) int8, see `detail`.
        blank: (N,) bool, images of a single value, which say nothing about a patient.
    """

    exact: NDArray[np.uint8]
    near: NDArray[np.uint8]
    detail: NDArray[np.int8]
    blank: NDArray[np.bool_]

    @staticmethod
    def empty(n: int) -> Fingerprints:
        """Room for n fingerprints."""
        return Fingerprints(
            np.zeros((n, 32), np.uint8),
            np.zeros((n, 32), np.uint8),
            np.zeros((n, SMALL**2), np.int8),
            np.zeros(n, bool),
        )

    @staticmethod
    def concatenate(parts: list[Fingerprints]) -> Fingerprints:
        """All images of several sets, in order."""
        return Fingerprints(
            np.concatenate([part.exact for part in parts]),
            np.concatenate([part.near for part in parts]),
            np.concatenate([part.detail for part in parts]),
            np.concatenate([part.blank for part in parts]),
        )

    def put(self, index: int, image: Pixels) -> None:
        """Fill in the fingerprint of image `index`, an array (H, W, c) or (D, H, W, c) of stored values."""
        small = small_picture(image)
        self.exact[index] = np.frombuffer(sha256(image), np.uint8)
        self.near[index] = dhash(small)
        self.detail[index] = detail(small)
        self.blank[index] = image.min() == image.max()


def sha256(image: Pixels) -> bytes:
    """32 bytes that agree exactly when shape and float32 values do, whatever file format held them."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image, dtype=np.float32).tobytes())
    return digest.digest()


def small_picture(image: Pixels) -> Pixels:
    """(H, W, c), or the middle of (D, H, W, c), as (32, 32) gray, antialiased; colour is averaged."""
    image = image[len(image) // 2] if image.ndim == 4 else image
    gray = image.mean(axis=-1, dtype=np.float32) if image.shape[-1] > 1 else image[..., 0]
    return _resized(gray, SMALL, SMALL)


def dhash(small: Pixels) -> NDArray[np.uint8]:
    """Difference hash (N. Krawetz, "Kind of like that", 2013): is each cell clearly brighter than its left neighbour?

    Survives rescaling, recompression and changes of contrast.

    Returns:
        (32,) uint8: 16 x 16 bits.
    """
    cells = _resized(small, DHASH_SIDE, DHASH_SIDE + 1)
    step = _STEP * (cells.max() - cells.min())
    return np.packbits(cells[:, 1:] > cells[:, :-1] + step)


def detail(small: Pixels) -> NDArray[np.int8]:
    """What is left of the small picture without the mean of each block of 4 x 4, its strong edges softened, as int8.

    The coarse shape, which all brains or chests share, is gone, and the outline, which a common mask cuts, weighs no
    more than the folds inside; what is left is the patient's own.
    """
    blocks = small.reshape(SMALL // _BLOCK, _BLOCK, SMALL // _BLOCK, _BLOCK)
    rest = blocks - blocks.mean(axis=(1, 3), keepdims=True)
    scale = _SOFT * float(np.sqrt(np.square(rest).mean()))
    if scale == 0:
        return np.zeros(SMALL**2, np.int8)
    return np.round(127 * rest / np.hypot(rest, scale)).astype(np.int8).reshape(-1)


def _resized(image: Pixels, height: int, width: int) -> Pixels:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
