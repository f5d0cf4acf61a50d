"""Distances of real and synthetic images in an extractor's features, each beside its real-versus-real floor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgen.evidence.known_features import extract
from fedgen.evidence.metrics.feature_space import COMPARISONS, DISTANCES, FeatureSpace
from fedgen.evidence.metrics.fidelity_words import FID, MMD
from fedgen.evidence.metrics.halves import MINIMUM_HALF, SPLITS, beside_floor, patient_halves
from fedgen.evidence.metrics.matched import MatchedSets
from fedgen.evidence.metrics.point_sets import mmd_p
from fedgen.evidence.metrics.standardise import Standardiser
from fedgen.extractors.contract import Extractor
from fedgen_privacy.statistics.patients import one_image_each

IntArray = NDArray[np.int64]

#: Images of either kind that are compared, to bound memory: a random choice of more.
MOST = 2000
PERMUTATIONS = 499


@dataclass(frozen=True)
class Distance:
    """One comparison in one extractor's features; None where undefined, with the reason in the note.

    Attributes:
        extractor, hash: whose features.
        dimensions, dropped: how many of them are compared, and how many hardly varied over the real images.
        metric: a name of COMPARISONS.
        n_real, n_synthetic: images behind one value, on average.
        note: what a reader must know.
        value: of real and synthetic, mean over halves of the real patients.
        std, low, high: its standard error and interval over the choice of real patients.
        floor, floor_std: the same between disjoint real patients, mean and standard deviation over splits.
        p: of MMD, of "both sets are of one distribution".
        beyond: whether the synthetic images are surely worse than real ones; None where undefined.
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
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    floor_std: float | None = None
    p: float | None = None
    beyond: bool | None = None


def measure_distances(
    extractor: Extractor, reference: MatchedSets, *, seed: int, chosen: tuple[str, ...] = DISTANCES
) -> tuple[Distance, ...]:
    """The chosen comparisons, in the order of COMPARISONS.

    Args:
        extractor: of the features.
        reference: real and synthetic images.
        seed: of splits, directions and permutations.
        chosen: names of COMPARISONS.
    """
    real_raw, made_raw = extract(extractor, reference.real.images), extract(extractor, reference.synthetic)
    n_real, n_made = len(real_raw), len(made_raw)
    metrics = [each for each in COMPARISONS if each.id in chosen]
    empty = Distance(extractor.name, extractor.hash, 0, 0, "", n_real, n_made, reference.note)

    def undefined(reason: str) -> tuple[Distance, ...]:
        note = f"{reason} {reference.note}"
        return tuple(replace(empty, metric=each.id, note=note) for each in metrics)

    if reference.real.n_patients < 2 or n_real < 2 * MINIMUM_HALF or n_made < MINIMUM_HALF:
        return undefined(
            f"Not computed: needs {2 * MINIMUM_HALF} real images of two patients and {MINIMUM_HALF} "
            f"synthetic images, found {n_real} of {reference.real.n_patients} and {n_made}."
        )
    standardise = Standardiser.fit(real_raw, one_unit=extractor.one_unit)
    if standardise.dimensions == 0:
        return undefined("Not computed: every feature is constant over the real images.")
    space = _space(
        standardise(real_raw), standardise(made_raw), reference.real.patients.numpy().astype(np.int64), seed
    )
    owners = space.owners[space.real]
    halves = [
        halved
        for halved in patient_halves(owners, splits=SPLITS, seed=seed)
        if min(map(len, halved)) >= MINIMUM_HALF
    ]
    if not halves:
        return undefined(f"Not computed: no split of the patients left {MINIMUM_HALF} images in both halves.")
    note = f"Features z-scored with the real reference. {reference.note}"
    if max(n_real, n_made) > MOST:
        note = f"A random {MOST} images of either kind that has more. {note}"
    found = beside_floor(lambda i, j: space.compare(i, j, chosen), halves, space.made, seed=seed)
    row = replace(
        empty,
        dimensions=standardise.dimensions,
        dropped=extractor.num_features - standardise.dimensions,
        note=note,
    )
    made = []
    for each in metrics:
        beside = found.get(each.id)
        if beside is None:
            made.append(
                replace(row, metric=each.id, note=f"Not computed: the features give no finite number. {note}")
            )
            continue
        said = note
        if each.id == FID and beside.n <= standardise.dimensions:
            said = (
                f"Ill-conditioned: {beside.n} images for {standardise.dimensions} features, so read the value only "
                f"against its floor, which has the same sizes. {note}"
            )
        made.append(
            replace(
                row,
                metric=each.id,
                n_real=beside.n,
                n_synthetic=beside.n,
                note=said,
                value=beside.value,
                std=beside.std,
                low=beside.low,
                high=beside.high,
                floor=beside.floor,
                floor_std=beside.floor_std,
                p=_p(space, seed) if each.id == MMD else None,
                beyond=beside.beyond(each.better),
            )
        )
    return tuple(made)


def _space(real: Tensor, made: Tensor, patients: IntArray, seed: int) -> FeatureSpace:
    rng = np.random.default_rng(seed)
    kept = [np.sort(rng.permutation(len(each))[:MOST]) for each in (real, made)]
    points = torch.cat([real[kept[0]], made[kept[1]]]).double().numpy()
    n, m = map(len, kept)
    alone = np.arange(m) + int(patients.max()) + 1
    return FeatureSpace(
        points, np.concatenate([patients[kept[0]], alone]), np.arange(n), np.arange(n, n + m), seed
    )


def _p(space: FeatureSpace, seed: int) -> float | None:
    """By one image a patient, since a permutation takes all images for independent; None of too few patients."""
    one = space.real[one_image_each(space.owners[space.real], np.random.default_rng(seed))]
    if min(len(one), len(space.made)) < MINIMUM_HALF:
        return None
    return mmd_p(space.gaussian, one, space.made, PERMUTATIONS, seed)
