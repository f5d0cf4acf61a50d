"""The update every site holds, and how far a mean is from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: What a coordinate is clipped to in our protocol; the update stays far inside, so that no error is the clip's.
BOUND = 1.0
SCALE = 0.05

_CHUNK = 1_000_000


def update(length: int) -> NDArray[np.float32]:
    """Reproducible float32 update of `length` coordinates, normal with standard deviation 0.05, within +/- 0.5."""
    vector = np.random.default_rng(0).standard_normal(length, dtype=np.float32)
    vector *= np.float32(SCALE)
    return np.clip(vector, -BOUND / 2, BOUND / 2, out=vector)


def rms_error(mean: NDArray[np.floating], truth: NDArray[np.float32]) -> float:
    """Root mean square error of a mean; in chunks, since 10^8 doubles more would not fit beside the rest."""
    total = 0.0
    for start in range(0, len(truth), _CHUNK):
        part = slice(start, start + _CHUNK)
        total += float(np.sum((mean[part].astype(np.float64) - truth[part]) ** 2))
    return float(np.sqrt(total / len(truth)))
