"""How much of it: synthetic images beside more and more real ones, and beside controls of the same count.

By the simple judge, which is convex and quick. Adding images can help without a new one among them, so at every ratio
stand as many real images again, duplicated and augmented: what synthetic images teach no more than those, a hospital
has already (Pink and Sykes 2026 found diffusion with the better FID no better than duplicates).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.downstream.bootstrap import percentile_interval
from fedgen.evidence.downstream.cells import Replicated, TestImages, describe, mean_score
from fedgen.evidence.downstream.classifier import augmented_once
from fedgen.evidence.downstream.judges import features_of, release_features
from fedgen.evidence.downstream.linear import LINEAR
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.pooled import PooledImages, pooled
from fedgen.evidence.workers import workers
from fedgen.run.row import Row, Value
from fedgen.study.evaluation_section import EvaluationSection

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

RATIOS, SHARES, PATIENTS, JUDGE = "ratio-curve", "low-data-curve", "test_patients", "simple"
#: Draws of the images that are added, or of the patients that are kept: of each a judge, and the mean of their scores.
DRAWS = 3
ADDED = {
    "synthetic": "Real and synthetic",
    "duplicated": "Control: real and real again, duplicated",
    "augmented": "Control: real and real again, augmented",
}
ABOUT_RATIO = (
    "AUROC of the simple judge on real patients, by how many images were added for each real one; 0 is real alone. "
    "All three have the same number of images of each class."
)
ABOUT_SHARE = (
    "AUROC of the simple judge on real patients, by the share of the real training patients it learns from."
)
FEW = "Fewer synthetic images than that."


@dataclass(frozen=True)
class Curves(Measure):
    """The ratio curve and the low-data curve."""

    id = "curves"
    title = "How many synthetic images"
    order = 9
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """A row an arm and a row for each difference from a control; nothing where no score is defined."""
        train, test = pooled(real, Part.TRAIN), pooled(real, Part.TEST)
        classes = len(real.classes)
        if classes < 2 or not (self.options.ratios or self.options.shares):
            return
        labels, patients, sites = (each.numpy() for each in (test.labels, test.patients, test.sites))
        tested = describe(
            np.arange(len(labels)),
            labels,
            patients,
            sites,
            real.classes,
            replicates=self.options.bootstrap,
            seed=seed,
        )
        if tested.undefined or any(c not in train.labels for c in range(classes)):
            return
        lesson = _Lesson(real, train, made, tested, seed)
        yield from self._ratios(lesson)
        yield from self._shares(lesson)

    def _ratios(self, lesson: _Lesson) -> Iterator[Row]:
        ratios = self.options.ratios
        if not ratios:
            return
        alone = lesson.alone()
        found: dict[str, dict[float, Replicated]] = {
            arm: {r: score for r in ratios if (score := lesson.added(arm, r)) is not None} for arm in ADDED
        }
        for arm, title in ADDED.items():
            points = {0.0: alone, **found[arm]}
            yield lesson.row(f"ratio-{arm}", title, RATIOS, ABOUT_RATIO, [0.0, *ratios], points, "ratio {:g}")
        for control in ("duplicated", "augmented"):
            leads = {
                r: _less(found["synthetic"][r], found[control][r])
                for r in ratios
                if r in found["synthetic"] and r in found[control]
            }
            title = f"Synthetic against {control}"
            id = f"ratio-synthetic-against-{control}"
            yield lesson.row(id, title, RATIOS, ABOUT_RATIO, ratios, leads, "ratio {:g}", chance=None)

    def _shares(self, lesson: _Lesson) -> Iterator[Row]:
        shares = self.options.shares
        if not shares:
            return
        found = {added: {s: lesson.share(s, added) for s in shares} for added in (False, True)}
        for added, title in ((False, "Real alone"), (True, "Real and all synthetic")):
            id = "low-data-with-synthetic" if added else "low-data-real"
            named = {100 * s: score for s, score in found[added].items()}
            yield lesson.row(id, title, SHARES, ABOUT_SHARE, list(named), named, "{:g} %")
        leads = {100 * s: _less(found[True][s], found[False][s]) for s in shares}
        id, title = "low-data-difference", "With synthetic against without"
        yield lesson.row(id, title, SHARES, ABOUT_SHARE, list(leads), leads, "{:g} %", chance=None)


def _less(ours: Replicated, theirs: Replicated) -> Replicated:
    return Replicated(ours.value - theirs.value, ours.replicates - theirs.replicates, None)


class _Lesson:
    """The training images of one evaluation, as features, and the judge that learns of some of them."""

    def __init__(
        self, real: Real, train: PooledImages, made: LabelledImages, tested: TestImages, seed: int
    ) -> None:
        self._judge, self._classes, self._tested, self._seed = (
            LINEAR[JUDGE],
            len(real.classes),
            tested,
            seed,
        )
        self._test = features_of(real, Part.TEST, JUDGE)
        self._train, self._patients = train, train.patients.numpy()
        own, of_release = features_of(real, Part.TRAIN, JUDGE), release_features(made.images, JUDGE)
        self._n, self._m = len(own), len(of_release)
        self._features = np.concatenate([own, of_release])
        self._labels = np.concatenate([train.labels.numpy(), made.labels.numpy()])
        self._augmented: FloatArray | None = None

    def alone(self) -> Replicated:
        """Of the real images."""
        return self._score([(np.arange(self._n), None)])

    def added(self, arm: str, ratio: float) -> Replicated | None:
        """Of the real images and so many others; None where there are not as many synthetic ones."""
        wanted = round(ratio * self._n)
        if not 0 < wanted <= self._m:
            return None
        sets: list[tuple[IntArray, FloatArray | None]] = []
        for draw in range(DRAWS):
            rng = np.random.default_rng((self._seed, draw))
            synthetic = self._n + rng.permutation(self._m)[:wanted]
            if arm == "synthetic":
                sets.append((np.concatenate([np.arange(self._n), synthetic]), None))
                continue
            again = self._alike(self._labels[synthetic], rng)
            more = self._augmentations() if arm == "augmented" else self._features[: self._n]
            sets.append((np.concatenate([np.arange(self._n), again]), more))
        return self._score(sets)

    def share(self, share: float, added: bool) -> Replicated:
        """Of the images of so many of the patients, one of each class at least, and of all synthetic ones."""
        sets: list[tuple[IntArray, FloatArray | None]] = []
        for draw in range(DRAWS if share < 1 else 1):
            kept = np.flatnonzero(np.isin(self._patients, self._some_patients(share, draw)))
            sets.append((np.concatenate([kept, self._n + np.arange(self._m)]) if added else kept, None))
        return self._score(sets)

    def row(
        self,
        id: str,
        title: str,
        group: str,
        about: str,
        points: Sequence[float],
        found: Mapping[float, Replicated],
        name: str,
        chance: float | None = 0.5,
    ) -> Row:
        """A row whose values are the points of a curve, in their order."""
        values = []
        for point in points:
            score = found.get(point)
            if score is None:
                values.append(
                    Value(name=name.format(point), value=None, note=FEW, pool="mean", weight=PATIENTS)
                )
                continue
            low, high = percentile_interval(score.replicates)
            values.append(
                Value(
                    name=name.format(point),
                    value=score.value,
                    low=low,
                    high=high,
                    std=score.std_seeds,
                    chance=chance,
                    pool="mean",
                    weight=PATIENTS,
                )
            )
        n = {PATIENTS: self._tested.n_patients}
        return Row(id=id, title=title, group=group, about=about, values=tuple(values), n=n)

    def _score(self, sets: Sequence[tuple[IntArray, FloatArray | None]]) -> Replicated:
        """Mean AUROC of judges that learn of images at these positions; those of `more` in the place of the real ones.

        The first `n` positions of a set with `more` are the real images, the others count in `more`.
        """
        with workers() as pool:
            return mean_score("auroc", self._tested, list(pool.map(lambda each: self._learnt(*each), sets)))

    def _learnt(self, rows: IntArray, more: FloatArray | None) -> FloatArray:
        if more is None:
            features = self._features[rows]
        else:
            features = np.concatenate([self._features[: self._n], more[rows[self._n :]]])
        return self._judge(features, self._labels[rows], self._test, self._classes)

    def _alike(self, labels: IntArray, rng: np.random.Generator) -> IntArray:
        """For each label a real image of that class, at random."""
        own = self._labels[: self._n]
        chosen = np.empty(len(labels), np.int64)
        for c in np.unique(labels):
            chosen[labels == c] = rng.choice(np.flatnonzero(own == c), int((labels == c).sum()))
        return chosen

    def _augmentations(self) -> FloatArray:
        """Features of each real image, shifted and with another contrast and brightness, once."""
        if self._augmented is None:
            self._augmented = self._judge.features(augmented_once(self._train.images, self._seed))
        return self._augmented

    def _some_patients(self, share: float, draw: int) -> IntArray:
        rng = np.random.default_rng((self._seed, draw, round(1e6 * share)))
        labels, kept = self._labels[: self._n], []
        for c in range(self._classes):
            own = np.unique(self._patients[labels == c])
            kept.append(rng.permutation(own)[: max(1, round(share * len(own)))])
        return np.unique(np.concatenate(kept))
