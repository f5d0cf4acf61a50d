"""How like the release is as test patients may tell of it: first and second moments in a small public space."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.known_features import extract
from fedgen.evidence.middle import middle_slices
from fedgen.evidence.noised.block import FloatArray, NoisedBlock, NoisedRow, Sums
from fedgen.evidence.noised.noised_worth import GROUP
from fedgen.extractors.contract import Extractor
from fedgen.extractors.registry import build_extractor
from fedgen.run.row import Value

#: Dimensions of the space, and the length at which a point is cut; a release has unit variance along each.
DIMENSIONS, RADIUS = 3, 4.0
#: Shares of the squared length of a patient's vector: that she is there, her mean, her second moments.
PRESENT, MEAN, SECOND = 0.4, 0.3, 0.3
#: Draws of the noise, for what it alone would show.
DRAWS = 400
_PAIRS = tuple((i, j) for i in range(DIMENSIONS) for j in range(i, DIMENSIONS))
ABOUT = (
    "Frechet distance between the released images and the test patients in three fixed directions of random_conv "
    "features, from noised moments. `without a difference` is what it would be below, in 95 of 100 cases, if the "
    "patients were like the release: only more than that is a difference."
)


@dataclass(frozen=True)
class PublicSpace:
    """Images as points of few dimensions, made of the release alone.

    The directions are fixed, and not the release's principal ones, whose signs and order could differ between machines.

    Attributes:
        extractor: random_conv.
        shift, scale: (f,) of its features over the release.
        directions: (f, DIMENSIONS), scaled so that the release has unit variance along each.
    """

    extractor: Extractor
    shift: Tensor
    scale: Tensor
    directions: Tensor

    @classmethod
    def of(cls, made: LabelledImages) -> PublicSpace:
        """The space of a release of pictures."""
        extractor = build_extractor("random_conv", made.images.shape[1])
        features = extract(extractor, made.images).double()
        scale = features.std(dim=0, unbiased=False)
        scale = torch.where(scale > 1e-6, scale, torch.ones_like(scale))
        # The stream of this old generator is promised never to change.
        drawn = np.random.RandomState(20260301).standard_normal((features.shape[1], DIMENSIONS))
        directions = torch.from_numpy(drawn)
        shift = features.mean(dim=0)
        spread = ((features - shift) / scale @ directions).std(dim=0, unbiased=False)
        return cls(extractor, shift, scale, directions / spread.clamp_min(1e-6))

    def points(self, images: Tensor) -> FloatArray:
        """(n, DIMENSIONS) of pictures, of length RADIUS at most."""
        features = extract(self.extractor, images.float()).double()
        points = (features - self.shift) / self.scale @ self.directions
        cut: FloatArray = (points * (RADIUS / points.norm(dim=1).clamp_min(RADIUS))[:, None]).numpy()
        return cut


@dataclass(frozen=True)
class NoisedMoments(NoisedBlock):
    """That a patient is there, the mean of her images' points, and the mean of their second moments.

    Attributes:
        space: of the release.
        mean, second: (DIMENSIONS,) and (DIMENSIONS, DIMENSIONS) moments of the release.
        share, id, names: see `NoisedBlock`.
    """

    kind = "evaluation"
    parts = (Part.TEST,)

    space: PublicSpace
    mean: FloatArray
    second: FloatArray
    share: float
    id: str = "noised-moments"
    names: tuple[str, ...] = field(
        default=(
            "patients",
            *(f"mean {i + 1}" for i in range(DIMENSIONS)),
            *(f"moment {i + 1} {j + 1}" for i, j in _PAIRS),
        )
    )

    def of_patient(self, patient: SiteData, part: Part) -> FloatArray:
        """See `NoisedBlock.of_patient`."""
        points = self.space.points(middle_slices(patient.images))
        return self._told(points.mean(axis=0), points.T @ points / len(points))

    def _told(self, mean: FloatArray, second: FloatArray) -> FloatArray:
        # Off the diagonal sqrt(2): the norm is then that of the whole matrix, RADIUS^2 at most.
        upper = [second[i, j] * (1.0 if i == j else math.sqrt(2.0)) for i, j in _PAIRS]
        return np.concatenate(
            [
                [math.sqrt(PRESENT)],
                math.sqrt(MEAN) / RADIUS * mean,
                math.sqrt(SECOND) / RADIUS**2 * np.array(upper),
            ]
        )

    def row(self, sums: Sums) -> NoisedRow:
        """See `NoisedBlock.row`."""
        patients = float(sums.values[0]) / math.sqrt(PRESENT)
        noise = sums.noise / math.sqrt(PRESENT)
        found = floor = None
        note = "The noise swamps even the number of patients."
        if patients > 2 * noise:
            found = self._distance(sums.values)
            floor = self._floor(patients, sums.noise)
            note = (
                "The distance is above what noise and so few patients alone would show."
                if found > floor
                else "No difference was seen that noise and so few patients alone would not show."
            )
        return NoisedRow(
            id=self.id,
            title="Likeness with noised moments",
            group=GROUP,
            about=ABOUT,
            values=(
                Value(name="Frechet distance", value=found),
                Value(name="without a difference", value=floor, note="95 % of draws are below"),
            ),
            note=note,
        )

    def _distance(self, values: FloatArray) -> float:
        patients = max(float(values[0]) / math.sqrt(PRESENT), 1.0)
        mean = values[1 : 1 + DIMENSIONS] * RADIUS / math.sqrt(MEAN) / patients
        second = np.zeros((DIMENSIONS, DIMENSIONS))
        for (i, j), value in zip(_PAIRS, values[1 + DIMENSIONS :], strict=True):
            second[i, j] = second[j, i] = value / (1.0 if i == j else math.sqrt(2.0))
        second *= RADIUS**2 / math.sqrt(SECOND) / patients
        return frechet(
            mean, second - np.outer(mean, mean), self.mean, self.second - np.outer(self.mean, self.mean)
        )

    def _floor(self, patients: float, noise: float) -> float:
        """What 95 % of sums over so many patients who are like the release would stay below."""
        rng, n = np.random.default_rng(0), max(round(patients), 1)
        covariance = _positive(self.second - np.outer(self.mean, self.mean))
        found = []
        for _ in range(DRAWS):
            points = rng.multivariate_normal(self.mean, covariance, n)
            points *= np.minimum(1.0, RADIUS / np.maximum(np.linalg.norm(points, axis=1), 1e-12))[:, None]
            told = n * self._told(points.mean(axis=0), points.T @ points / n)
            found.append(self._distance(told + noise * rng.standard_normal(len(told))))
        return float(np.quantile(found, 0.95))


def frechet(mean_a: FloatArray, cov_a: FloatArray, mean_b: FloatArray, cov_b: FloatArray) -> float:
    """Squared Frechet distance of two Gaussians; noised covariances become the nearest that are positive."""
    cov_a, cov_b = _positive(cov_a), _positive(cov_b)
    root = _root(cov_a)
    cross = _root(root @ cov_b @ root)
    return float(np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a + cov_b - 2 * cross))


def _positive(matrix: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    made: FloatArray = vectors @ np.diag(np.maximum(values, 0.0)) @ vectors.T
    return made


def _root(matrix: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    made: FloatArray = vectors @ np.diag(np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return made


def moments_block(made: LabelledImages, share: float) -> NoisedMoments:
    """The block of a release of pictures."""
    space = PublicSpace.of(made)
    points = space.points(made.images)
    return NoisedMoments(space, points.mean(axis=0), points.T @ points / len(points), share)
