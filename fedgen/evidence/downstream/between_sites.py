"""From site to site: a classifier that has not seen a site, and one that has seen a single site alone.

Only where the patients of several sites are in one place, which is a simulation: in a federation a site has its own
alone. By the simple judge, which is quick enough to be trained once for every cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.downstream.cells import SAID, TestImages, describe, replicate_score
from fedgen.evidence.downstream.judges import features_of
from fedgen.evidence.downstream.linear import LINEAR
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.pooled import PooledImages, pooled
from fedgen.run.row import Row, SitePart, Value, cut
from fedgen.study.evaluation_section import EvaluationSection

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

JUDGE = "simple"
GROUP, PATIENTS, NAME = "between_sites", "test_patients", SAID[JUDGE]
ABOUT_OUT = (
    "Trained on the real patients of all other sites and tested on this one; over all sites, the pairs of patients "
    "within a site. Knowing the site is worth nothing here."
)
ABOUT_ALONE = "Trained on the real patients of this site alone, tested on each."
ABOUT_WORST = "The least score from one site to another."


@dataclass(frozen=True)
class BetweenSites(Measure):
    """Each site left out of training, and a matrix of training by test site with its worst cell."""

    id = "between-sites"
    title = "Between sites"
    order = 4
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """A row for the sites left out, one a training site, and one for the worst cell; none for a single site."""
        train, test = pooled(real, Part.TRAIN), pooled(real, Part.TEST)
        if len(real.sites) < 2 or len(real.classes) < 2 or not train.n_images or not test.n_images:
            return
        table = _Table(real, train, test, self.options.bootstrap, seed)
        yield table.left_out()
        rows = [table.trained_on(i) for i in range(len(real.sites))]
        yield from rows
        cells = [
            (part.values[0].value, row.title, part.site, part.values[0])
            for row in rows
            for part in row.per_site
            if part.values[0].value is not None and row.title != _title(part.site)
        ]
        if cells:
            _, source, target, worst = min(cells, key=lambda each: each[0])
            note = f"{source}, tested on {target}."
            n = {PATIENTS: sum(part.n[PATIENTS] for part in rows[0].per_site if part.site == target)}
            yield Row(
                id="worst-cell",
                title="Worst cell",
                group=GROUP,
                about=ABOUT_WORST,
                values=(worst,),
                n=n,
                note=cut(note),
            )


def _title(site: str) -> str:
    return cut(f"Trained on {site} alone")


class _Table:
    def __init__(
        self, real: Real, train: PooledImages, test: PooledImages, replicates: int, seed: int
    ) -> None:
        self.names = [site.site for site in real.sites]
        self.classes = real.classes
        self.train_labels, self.train_sites = train.labels.numpy(), train.sites.numpy()
        self.features, self.test_features = [
            features_of(real, part, JUDGE) for part in (Part.TRAIN, Part.TEST)
        ]
        self.labels, self.patients, self.sites = (
            test.labels.numpy(),
            test.patients.numpy(),
            test.sites.numpy(),
        )
        self.everywhere, *self.at = [
            describe(
                index, self.labels, self.patients, self.sites, self.classes, replicates=replicates, seed=seed
            )
            for index in (
                np.arange(len(self.labels)),
                *(np.flatnonzero(self.sites == s) for s in range(len(self.names))),
            )
        ]

    def left_out(self) -> Row:
        """Each site tested by those who have not seen it."""
        found = [self._fit(self.train_sites != i) for i in range(len(self.names))]
        known = [each for each in found if isinstance(each, np.ndarray)]
        parts = tuple(self._part(i, each) for i, each in enumerate(found))
        whole = None
        if len(known) == len(found):
            own = np.stack(known)[self.sites, np.arange(len(self.sites))]
            whole = self._value(self.everywhere, own, "within")
        return Row(
            id="site-left-out",
            title="Each site left out",
            group=GROUP,
            about=ABOUT_OUT,
            values=(whole or Value(name=NAME, value=None),),
            per_site=parts,
            n={PATIENTS: self.everywhere.n_patients},
        )

    def trained_on(self, site: int) -> Row:
        """One site's classifier at every site."""
        found = self._fit(self.train_sites == site)
        return Row(
            id=f"trained-on-{site}",
            title=_title(self.names[site]),
            group=GROUP,
            about=ABOUT_ALONE,
            values=(),
            per_site=tuple(self._part(i, found) for i in range(len(self.names))),
            n={PATIENTS: self.everywhere.n_patients},
        )

    def _fit(self, chosen: NDArray[np.bool_]) -> FloatArray | str:
        labels = self.train_labels[chosen]
        missing = [name for c, name in enumerate(self.classes) if c not in labels]
        if missing:
            return f"No training image is of {', '.join(missing)}."
        return LINEAR[JUDGE](self.features[chosen], labels, self.test_features, len(self.classes))

    def _part(self, site: int, found: FloatArray | str) -> SitePart:
        images = self.at[site]
        note = found if isinstance(found, str) else images.undefined or images.note
        value = None if isinstance(found, str) else self._value(images, found, "auroc")
        return SitePart(
            site=self.names[site],
            values=(value or Value(name=NAME, value=None, chance=0.5),),
            n={PATIENTS: images.n_patients},
            note=None if note is None else cut(note),
        )

    def _value(self, images: TestImages, probabilities: FloatArray, metric: str) -> Value | None:
        if images.undefined or not images.has(metric):
            return None
        score = replicate_score(metric, images, [probabilities]).score()
        return Value(name=NAME, value=score.value, low=score.low, high=score.high, chance=0.5)
