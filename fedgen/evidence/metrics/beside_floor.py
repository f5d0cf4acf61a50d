"""FID and KID in an offline extractor's features, each beside its real-versus-real floor.

FID grows as samples get fewer (Chong and Forsyth 2020), so its value and its floor are taken from sets
of the same sizes: for each of several random splits of the real patients into halves A and B, the floor
is FID(A, B) and the value is FID(A, synthetic images), with as many synthetic images as B has where
there are so many. Both are means over the splits. KID is unbiased, so its value uses all images and
only its floor uses halves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedgen.evidence.metrics.distances import frechet_distance, kernel_distance
from fedgen.evidence.metrics.matched import MatchedSets
from fedgen.evidence.metrics.standardise import Standardiser
from fedgen.evidence.pooled import PooledImages
from fedgen.extractors.contract import Extractor

#: random splits of the real patients into halves
SPLITS = 10
KID_SUBSETS = 50
KID_SUBSET_SIZE = 1000
#: images given to an extractor at once, to bound memory
BATCH = 64
#: a half with fewer images than this gives no distance worth a number
MINIMUM_HALF = 8

Halves = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Distance:
    """One distance in one extractor's features; None where undefined, with the reason in the note.

    Attributes:
        extractor, hash: whose features.
        dimensions, dropped: how many of them are compared, and how many hardly varied over the real images.
        metric: FID or KID.
        n_real, n_synthetic: images behind one value (for FID the mean over splits).
        note: what a reader must know.
        value: distance of real and synthetic.
        std: of FID over splits, of KID over subsets.
        floor, floor_std: the same distance between disjoint real patients, mean and std over splits.
    """

    extractor: str
    hash: str
    dimensions: int
    dropped: int
    metric: str
    n_real: int
    n_synthetic: int
    note: str
    value: float | None = None
    std: float | None = None
    floor: float | None = None
    floor_std: float | None = None


def measure_distances(
    extractor: Extractor, reference: MatchedSets, *, seed: int
) -> tuple[Distance, Distance]:
    """FID and KID in one extractor's features."""
    real_raw, synthetic_raw = (
        extract(extractor, reference.real.images),
        extract(extractor, reference.synthetic),
    )
    n_real, n_synthetic = len(real_raw), len(synthetic_raw)
    empty = Distance(extractor.name, extractor.hash, 0, 0, "FID", n_real, n_synthetic, reference.note)

    if reference.real.n_patients < 2 or n_real < 2 * MINIMUM_HALF or n_synthetic < MINIMUM_HALF:
        reason = (
            f"Not computed: needs {2 * MINIMUM_HALF} real images of two patients and {MINIMUM_HALF} "
            f"synthetic images, found {n_real} of {reference.real.n_patients} and {n_synthetic}."
        )
        return _undefined(empty, reason)
    standardise = Standardiser.fit(real_raw, one_unit=extractor.one_unit)
    if standardise.dimensions == 0:
        return _undefined(empty, "Not computed: every feature is constant over the real images.")
    real, synthetic = standardise(real_raw), standardise(synthetic_raw)
    halves = [
        (a, b)
        for a, b in patient_halves(reference.real, splits=SPLITS, seed=seed)
        if min(len(a), len(b)) >= MINIMUM_HALF
    ]
    if not halves:
        return _undefined(
            empty, f"Not computed: no split of the patients left {MINIMUM_HALF} images in both halves."
        )
    row = replace(
        empty,
        dimensions=standardise.dimensions,
        dropped=extractor.num_features - standardise.dimensions,
        note=f"Features z-scored with the real reference. {reference.note}",
    )
    return _fid(row, real, synthetic, halves, seed), _kid(row, real, synthetic, halves, seed)


def extract(extractor: Extractor, images: Tensor) -> Tensor:
    """Features of (n, C, *size) images in bounded memory; (n, num_features) float32."""
    if len(images) == 0:
        return torch.empty(0, extractor.num_features)
    return torch.cat([extractor(batch) for batch in images.split(BATCH)])


def patient_halves(cohort: PooledImages, *, splits: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Positions of the images of two disjoint random halves of the patients, `splits` times."""
    rng = torch.Generator().manual_seed(seed)
    patients = cohort.patients.unique()
    for _ in range(splits):
        order = patients[torch.randperm(len(patients), generator=rng)]
        first = torch.isin(cohort.patients, order[: len(order) // 2])
        yield first.nonzero().flatten(), (~first).nonzero().flatten()


def _fid(row: Distance, real: Tensor, synthetic: Tensor, halves: Halves, seed: int) -> Distance:
    rng = torch.Generator().manual_seed(seed)
    values, floors = [], []
    for a, b in halves:
        n = min(len(b), len(synthetic))
        drawn = synthetic[torch.randperm(len(synthetic), generator=rng)[:n]]
        other = real[b[torch.randperm(len(b), generator=rng)[:n]]]
        values.append(frechet_distance(real[a], drawn))
        floors.append(frechet_distance(real[a], other))
    n_real = round(sum(len(a) for a, _ in halves) / len(halves))
    n_synthetic = round(sum(min(len(b), len(synthetic)) for _, b in halves) / len(halves))
    note = row.note
    if min(n_real, n_synthetic) <= row.dimensions:
        note = (
            f"Ill-conditioned: {n_real} real and {n_synthetic} synthetic images for {row.dimensions} "
            f"features, so read the value only against its floor, which has the same sizes. {note}"
        )
    return _filled(
        replace(row, metric="FID", n_real=n_real, n_synthetic=n_synthetic, note=note), values, floors
    )


def _kid(row: Distance, real: Tensor, synthetic: Tensor, halves: Halves, seed: int) -> Distance:
    def kid(x: Tensor, y: Tensor) -> tuple[float, float]:
        # Half of the smaller set, so that subsets differ and their std means something.
        size = min(KID_SUBSET_SIZE, max(2, min(len(x), len(y)) // 2))
        return kernel_distance(x, y, subset_size=size, subsets=KID_SUBSETS, seed=seed)

    value, std = kid(real, synthetic)
    floors = [kid(real[a], real[b])[0] for a, b in halves]
    return replace(
        _filled(replace(row, metric="KID"), [value], floors), std=std if math.isfinite(std) else None
    )


def _filled(row: Distance, values: list[float], floors: list[float]) -> Distance:
    """The row with means and standard deviations, or without any where a number is not finite."""
    if not all(math.isfinite(v) for v in values + floors):
        return replace(row, note=f"Not computed: the features give no finite distance. {row.note}")
    x, y = (torch.tensor(numbers, dtype=torch.float64) for numbers in (values, floors))
    return replace(
        row,
        value=float(x.mean()),
        std=float(x.std()) if len(x) > 1 else None,
        floor=float(y.mean()),
        floor_std=float(y.std()) if len(y) > 1 else None,
    )


def _undefined(row: Distance, reason: str) -> tuple[Distance, Distance]:
    note = f"{reason} {row.note}"
    return replace(row, note=note), replace(row, metric="KID", note=note)
