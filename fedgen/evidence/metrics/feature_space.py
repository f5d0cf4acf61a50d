"""Real and synthetic images side by side in the features of one extractor, and what is measured of two sets of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedgen.evidence.metrics.feature_moments import FeatureMoments, frechet
from fedgen.evidence.metrics.fidelity_words import (
    CLASSIFIER,
    COVERAGE,
    DENSITY,
    FID,
    KID,
    MMD,
    NEAREST,
    PRECISION,
    RECALL,
    SWD,
)
from fedgen.evidence.metrics.point_sets import (
    classifier_auroc,
    directions,
    mmd,
    nearest_neighbour_accuracy,
    polynomial_kernel,
    precision_recall_density_coverage,
    rbf_kernel,
    sliced_wasserstein,
    squared_distances,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SetMeasure:
    """A measure of two sets of images.

    Attributes:
        id: name.
        better: `lower`, `higher`, or `half` where 0.5 says that the sets cannot be told apart.
        about: what it is, for a reader, with its range.
    """

    id: str
    better: str
    about: str


#: In the order of the table.
COMPARISONS = (
    SetMeasure(
        FID, "lower", "Frechet distance of Gaussians fitted to the features; 0 or more, lower is better."
    ),
    SetMeasure(
        KID,
        "lower",
        "Squared maximum mean discrepancy with a cubic kernel, unbiased; about 0 where sets are alike.",
    ),
    SetMeasure(
        MMD,
        "lower",
        "Squared maximum mean discrepancy with Gaussian kernels of five widths, unbiased; about 0 if alike.",
    ),
    SetMeasure(
        SWD,
        "lower",
        "Mean distance along 64 directions, in standard deviations of a feature; 0 or more, lower is better.",
    ),
    SetMeasure(
        NEAREST,
        "half",
        "How often an image's nearest image of somebody else is of its own set; 0.5 where sets are alike, below it "
        "where images of one crowd about those of the other.",
    ),
    SetMeasure(
        CLASSIFIER,
        "half",
        "AUROC of a linear classifier that tells the sets apart, on images that it has not seen; 0.5 where it cannot.",
    ),
    SetMeasure(
        PRECISION, "higher", "Share of synthetic images that lie among the real ones; falls with artefacts."
    ),
    SetMeasure(
        RECALL,
        "higher",
        "Share of real images that lie among the synthetic ones; falls with missing kinds.",
    ),
    SetMeasure(
        DENSITY,
        "higher",
        "How densely synthetic images lie where real ones do; 1 where alike, and it may be above.",
    ),
    SetMeasure(COVERAGE, "higher", "Share of real images that have a synthetic one within reach; 0 to 1."),
)
#: Those that are taken where no others are asked for.
DISTANCES = (FID, KID)


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """N images of two kinds.

    Attributes:
        points: (N, d) z-scored features.
        owners: (N,) patients; a synthetic image is one of its own.
        real, made: positions of either kind.
        seed: of the directions.
    """

    points: FloatArray
    owners: IntArray
    real: IntArray
    made: IntArray
    seed: int

    @cached_property
    def squares(self) -> FloatArray:
        """(N, N) squared distances."""
        return squared_distances(self.points, self.points)

    @cached_property
    def gaussian(self) -> FloatArray:
        """(N, N) kernel whose bandwidths are those of the real images' median distance."""
        between = self.squares[np.ix_(self.real, self.real)]
        others = between[self.owners[self.real][:, None] != self.owners[self.real][None, :]]
        median = float(np.sqrt(np.median(others))) if len(others) else 0.0
        return rbf_kernel(self.squares, median or 1.0)

    @cached_property
    def cubic(self) -> FloatArray:
        """(N, N) kernel of KID."""
        return polynomial_kernel(self.points)

    @cached_property
    def projected(self) -> FloatArray:
        """(N, directions)."""
        return self.points @ directions(self.points.shape[1], self.seed)

    def compare(self, i: IntArray, j: IntArray, chosen: tuple[str, ...]) -> dict[str, float]:
        """The chosen comparisons of the images at `i`, which are real, with as many others at `j`."""
        found: dict[str, float] = {}
        if FID in chosen:
            found[FID] = frechet(FeatureMoments.of(self.points[i]), FeatureMoments.of(self.points[j]))
        if KID in chosen:
            found[KID] = mmd(self.cubic, i, j)
        if MMD in chosen:
            found[MMD] = mmd(self.gaussian, i, j)
        if SWD in chosen:
            found[SWD] = sliced_wasserstein(self.projected[i], self.projected[j])
        if NEAREST in chosen:
            found[NEAREST] = nearest_neighbour_accuracy(self.squares, self.owners, i, j)
        if CLASSIFIER in chosen:
            found[CLASSIFIER] = classifier_auroc(self.points, self.owners, i, j)
        if PRECISION in chosen:
            found |= precision_recall_density_coverage(self.squares, self.owners, i, j)
        return found
