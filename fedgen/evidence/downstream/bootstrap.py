"""Patient-cluster bootstrap: patients are drawn, each with all its images (Davison and Hinkley 1997).

Drawing images instead would take ten images of one patient for ten pieces of evidence. Patients are drawn
within strata of equal class content, so that no replicate lacks a class and none has to be thrown away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: confidence of all intervals
CONFIDENCE = 0.95


def replicate_weights(patients: IntArray, labels: IntArray, replicates: int, *, seed: int) -> FloatArray:
    """How often each image is in each replicate.

    Args:
        patients: (n,) patient of each image.
        labels: (n,) class of each image; patients with the same set of classes form a stratum.
        replicates: R.
        seed: of the draws.

    Returns:
        (R, n) float64; all images of a patient have equal weight.
    """
    rng = np.random.default_rng(seed)
    _, patient = np.unique(patients, return_inverse=True)
    content: dict[int, set[int]] = {}
    for p, label in zip(patient.tolist(), labels.tolist(), strict=True):
        content.setdefault(p, set()).add(label)
    strata: dict[frozenset[int], list[int]] = {}
    for p in sorted(content):
        strata.setdefault(frozenset(content[p]), []).append(p)
    counts = np.zeros((replicates, len(content)))
    for members in strata.values():
        counts[:, members] = rng.multinomial(
            len(members), np.full(len(members), 1 / len(members)), size=replicates
        )
    return counts[:, patient]


def percentile_interval(values: FloatArray) -> tuple[float, float]:
    """The central `CONFIDENCE` of (R,) replicates (Efron's percentile interval); those that are NaN do not count."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)
