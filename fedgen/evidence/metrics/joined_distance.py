"""A Frechet distance of all sites' patients together, from a few sums of each site, where a site has patients enough.

FID over sites needs each site's moments of its features: of a hundred features some five thousand numbers, of which a
few dozen patients could be told. So features are seen along the release's own six main directions, which say nothing of
any patient, and a site sends 27 sums, of twice as many held-out patients at least. In those directions the release has
mean 0 and covariance 1, so nothing else is needed to have the distance of the sum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part
from fedgen.errors import DataError
from fedgen.evidence.known_features import extract
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.metrics.feature_moments import FeatureMoments, frechet
from fedgen.evidence.pooled import PooledImages, pool
from fedgen.evidence.remembered import content, once
from fedgen.extractors.contract import Extractor, Given
from fedgen.extractors.registry import build_extractor
from fedgen.run.row import Row, SitePart, Value, cut
from fedgen.study.evaluation_section import EvaluationSection

FloatArray = NDArray[np.float64]

GROUP = "fidelity-joined"
#: Directions, and the sums that their mean and covariance need.
DIMENSIONS = 6
SUMS = DIMENSIONS + DIMENSIONS * (DIMENSIONS + 1) // 2
#: Held-out patients without whom a site keeps its sums.
LEAST = 2 * SUMS
HERE, ALL = "Frechet distance of this site", "Frechet distance of all that sent"
IMAGES, BASIS = "images", "basis"
_ID = "moments-"
ABOUT = (
    "Frechet distance between the release and held-out patients along the release's six main directions, with its "
    "shares of the classes. It is smaller than FID, which sees all features, and has no floor: compare releases by it. "
    "The interval, of three sites or more, is a jackknife: how much it hangs on which sites there are."
)
#: Sites without whom nothing is known of how sites differ.
LEAST_SITES = 3


@dataclass(frozen=True)
class JoinedDistance(Measure):
    """Sums of features of which the distance over sites is made (`together`)."""

    id = "joined-distance"
    title = "Distance over sites"
    order = 2
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """A row an extractor; none where it is not at hand or the release is too small."""
        held = pool(real.sites, (Part.TEST, Part.AUDIT))
        held = held.take(torch.isin(held.labels, made.labels))
        given = Given(made.images.shape[1], real.prior, self.options.network)
        for name in self.options.extractors:
            try:
                extractor = build_extractor(name, given)
            except DataError:
                continue
            whiten = _of_release(extractor, made.images)
            if whiten is not None and held.n_images > DIMENSIONS:
                moments = FeatureMoments.of(
                    whiten(extract(extractor, held.images)), class_weights(held.labels, made.labels)
                )
                yield _row(name, moments, whiten, held)


def _of_release(extractor: Extractor, images: Tensor) -> Whitening | None:
    """`Whitening.of` a release, made once a process: in a simulation every site asks for it."""
    key = ("whitening", extractor.id, content(images))
    return once(key, lambda: Whitening.of(extract(extractor, images)))


def _row(name: str, moments: FeatureMoments, whiten: Whitening, held: PooledImages) -> Row:
    enough = held.n_patients >= LEAST
    sums = [
        Value(name=f"sum {k:02d}", value=float(each), pool="sum") for k, each in enumerate(moments.packed())
    ]
    sent = (
        *sums,
        Value(name=IMAGES, value=moments.n, pool="sum"),
        Value(name=BASIS, value=whiten.fingerprint, pool="same"),
    )
    few = f"Fewer than {LEAST} held-out patients: the {SUMS} sums stay at the site."
    return Row(
        id=f"{_ID}{name}",
        title=f"Distance over sites, {name}",
        group=GROUP,
        about=ABOUT,
        values=(Value(name=HERE, value=frechet(moments, RELEASE)), *(sent if enough else ())),
        n={"held_out_images": held.n_images, "held_out_patients": held.n_patients},
        note=None if enough else few,
    )


#: Mean 0 and covariance 1, which the release has in its own main directions.
RELEASE = FeatureMoments(2, np.zeros(DIMENSIONS), np.eye(DIMENSIONS))


@dataclass(frozen=True)
class Whitening:
    """Features along the release's main directions, each with variance 1 there.

    Attributes:
        mean: (d,) of the release.
        directions: (d, DIMENSIONS).
    """

    mean: FloatArray
    directions: FloatArray

    @classmethod
    def of(cls, features: Tensor) -> Whitening | None:
        """Of (m, d) features of a release; None where they have fewer directions."""
        x = features.double().numpy()
        if len(x) <= DIMENSIONS:
            return None
        mean, std = x.mean(axis=0), x.std(axis=0, ddof=1)
        scale = np.divide(1, std, out=np.zeros_like(std), where=std > 1e-6 * (1 + np.abs(mean)))
        _, spread, along = np.linalg.svd((x - mean) * scale, full_matrices=False)
        if len(spread) < DIMENSIONS or spread[DIMENSIONS - 1] <= 1e-6 * spread[0]:
            return None
        kept = along[:DIMENSIONS]
        # Of either sign, the same one everywhere.
        kept = kept * np.sign(kept[np.arange(DIMENSIONS), np.abs(kept).argmax(axis=1)])[:, None]
        spread = spread[:DIMENSIONS] / np.sqrt(len(x) - 1)
        return cls(mean, scale[:, None] * kept.T / spread)

    def __call__(self, features: Tensor) -> FloatArray:
        """(n, DIMENSIONS) of (n, d)."""
        found: FloatArray = (features.double().numpy() - self.mean) @ self.directions
        return found

    @property
    def fingerprint(self) -> int:
        """Equal where sites look along the same directions; the last digits of a machine's algebra do not count."""
        largest = np.abs(self.directions).max()
        rounded = np.round(self.directions / largest, 3) + 0.0
        return int(hashlib.sha256(rounded.tobytes()).hexdigest()[:12], 16)


def class_weights(labels: Tensor, wanted: Tensor) -> FloatArray:
    """(n,) weights that give images of these labels the shares of classes that `wanted` has; their sum is n.

    A class that no image has is left out of the shares.
    """
    k = int(max(labels.max(), wanted.max())) + 1
    own = np.bincount(labels.numpy(), minlength=k).astype(np.float64)
    share = np.bincount(wanted.numpy(), minlength=k) * (own > 0)
    each = np.divide(share / share.sum() * len(labels), own, out=np.zeros(k), where=own > 0)
    found: FloatArray = each[labels.numpy()]
    return found


def together(row: Row) -> Row:
    """A row of sums as the distance that they make; any other as it is.

    Args:
        row: joined over sites, or of the patients of all.
    """
    if not row.id.startswith(_ID):
        return row
    sums = [value.value for value in row.values if value.name.startswith("sum ")]
    images, basis = row.get(IMAGES), row.get(BASIS)
    known = [float(each) for each in sums if each is not None]
    value, note = None, row.note
    low = high = None
    without: tuple[str, ...] = ()
    if len(known) == SUMS and images is not None and images.value:
        without = images.without
        if basis is not None and basis.value is not None:
            value = frechet(FeatureMoments.unpacked(int(images.value), np.array(known)), RELEASE)
            low, high = jackknife(value, [each for part in row.per_site if (each := _sent(part))])
        else:
            note = "The sites see the release along other directions: their sums cannot be added."
    elif note is None:
        note = "No site sent its sums."
    return Row(
        id=f"joined-FID-{row.id.removeprefix(_ID)}",
        title=row.title,
        group=row.group,
        about=row.about,
        values=(Value(name=ALL, value=value, low=low, high=high, without=without),),
        per_site=tuple(_part(part) for part in row.per_site),
        n=row.n,
        note=note if note is None else cut(note),
    )


def _sent(part: SitePart) -> FeatureMoments | None:
    sums = [value.value for value in part.values if value.name.startswith("sum ")]
    known = [float(each) for each in sums if each is not None]
    images = part.get(IMAGES)
    if len(known) < SUMS or images is None or not images.value:
        return None
    return FeatureMoments.unpacked(int(images.value), np.array(known))


def jackknife(value: float, sites: Sequence[FeatureMoments]) -> tuple[float | None, float | None]:
    """95 % limits of a distance over sites, each of which is left out once (Efron and Stein 1981).

    Args:
        value: of all sites together.
        sites: their moments; of fewer than `LEAST_SITES` there are no limits.
    """
    k = len(sites)
    if k < LEAST_SITES:
        return None, None
    others = [[each for j, each in enumerate(sites) if j != i] for i in range(k)]
    without = np.array([frechet(reduce(add, rest), RELEASE) for rest in others])
    spread = float(np.sqrt((k - 1) / k * ((without - without.mean()) ** 2).sum()))
    half = float(student.ppf(0.975, k - 1)) * spread
    return max(0.0, value - half), value + half


def _part(part: SitePart) -> SitePart:
    own = part.get(HERE)
    return part.model_copy(update={"values": () if own is None else (own,)})
