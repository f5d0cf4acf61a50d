"""Subgroups: is an arm worth as much to one sex, age or site as to another?

A gap between the best and the worst group is never below zero, so it is held against the gaps that random groups of the
same sizes have: what luck gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.downstream.bootstrap import percentile_interval
from fedgen.evidence.downstream.cells import describe, replicate_score
from fedgen.evidence.downstream.scores import weighted_auroc
from fedgen.evidence.downstream.taught_arms import Opinion, opinions
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.pooled import pooled
from fedgen.run.row import Row, Value, cut
from fedgen.study.data import Covariate
from fedgen.study.evaluation_section import EvaluationSection

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

GROUP, PATIENTS, JUDGE = "subgroups", "test_patients", "network"
#: The count that decides whether a row about groups may leave.
SMALLEST = "patients_of_the_smallest_group"
ARMS = ("TRTR", "TSTR", "TRTR+S")
#: Equal bands of a number's range in the study.
BANDS = 3
#: Random groupings.
SHUFFLES = 200
#: Values of a row beside those of groups leave room for so many.
MOST_GROUPS = 24
ABOUT = (
    "AUROC of the network within each group of test patients, the worst of them, and the gap from best to worst. A gap "
    "is above 0 by luck alone: beside it is that of random groups of the same sizes, and p that it is no larger."
)


@dataclass(frozen=True)
class Grouping:
    """A split of the test images.

    Attributes:
        name: of a covariate, or site.
        groups: names.
        of: (n,) index of each image's group; -1 for none.
    """

    name: str
    groups: tuple[str, ...]
    of: IntArray


@dataclass(frozen=True)
class Subgroups(Measure):
    """Scores and gaps by covariate and site."""

    id = "subgroups"
    title = "Subgroups"
    order = 7
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """A row for each grouping and arm; nothing where no score is defined."""
        for grouping, opinion in by_group(real, made, self.options, seed):
            yield self._row(real, grouping, opinion.arm, opinion.mean, seed)

    def _row(self, real: Real, grouping: Grouping, arm: str, probabilities: FloatArray, seed: int) -> Row:
        test = pooled(real, Part.TEST)
        labels, patients, sites = (each.numpy() for each in (test.labels, test.patients, test.sites))
        values, known, counts = [], {}, {}
        for g, name in enumerate(grouping.groups):
            own = describe(
                np.flatnonzero(grouping.of == g),
                labels,
                patients,
                sites,
                real.classes,
                replicates=self.options.bootstrap,
                seed=seed,
            )
            if own.undefined:
                values.append(Value(name=f"AUROC, {name}", value=None, note="Too few patients of a class."))
                continue
            score = replicate_score("auroc", own, [probabilities])
            known[g] = score
            counts[g] = own.n_patients
            low, high = percentile_interval(score.replicates)
            values.append(Value(name=f"AUROC, {name}", value=score.value, low=low, high=high, chance=0.5))
        if len(known) > 1:
            worst = min(known, key=lambda g: known[g].value)
            stacked = np.stack([each.replicates for each in known.values()])
            low, high = percentile_interval(stacked.max(axis=0) - stacked.min(axis=0))
            gap = max(each.value for each in known.values()) - known[worst].value
            luck = random_gaps(labels, probabilities, patients, grouping.of, list(known), seed)
            note = None if len(luck) else "Random groups lack a class."
            values += [
                Value(name="worst group", value=known[worst].value, note=cut(grouping.groups[worst])),
                Value(name="gap", value=gap, low=low, high=high),
                Value(
                    name="gap of random groups", value=float(luck.mean()) if len(luck) else None, note=note
                ),
                Value(
                    name="p, gap",
                    value=float((1 + (luck >= gap).sum()) / (1 + len(luck))) if len(luck) else None,
                ),
            ]
        return Row(
            id=f"subgroups-{grouping.name}-{arm}",
            title=cut(f"{arm} by {grouping.name}"),
            group=GROUP,
            about=ABOUT,
            values=tuple(values),
            # The smallest group decides whether the row may leave.
            n={PATIENTS: test.n_patients, SMALLEST: min(counts.values(), default=0)},
            note=None if len(known) > 1 else "Fewer than two groups have a score.",
        )


def by_group(
    real: Real, made: LabelledImages, options: EvaluationSection, seed: int
) -> Iterator[tuple[Grouping, Opinion]]:
    """Every grouping with what the network of each arm thinks; nothing where no score is defined."""
    known = opinions(real, made, options, seed)
    if known is not None:
        for grouping in groupings(real):
            for opinion in known.of(ARMS, (JUDGE,)):
                yield grouping, opinion


def groupings(real: Real) -> list[Grouping]:
    """Those of the study's covariates, and of the sites where there are several."""
    found = []
    rows = [site.parts == int(Part.TEST) for site in real.sites]
    numbers = [
        site.covariates[own]
        for site, own in zip(real.sites, rows, strict=True)
        if site.covariates is not None
    ]
    if len(numbers) == len(real.sites) and real.covariates:
        known = torch.cat(numbers).numpy()
        first = 0
        for name, covariate in real.covariates.items():
            found.append(_of(name, covariate, known[:, first : first + covariate.numbers]))
            first += covariate.numbers
    if len(real.sites) > 1:
        names = tuple(site.site for site in real.sites)
        found.append(Grouping("site", names, pooled(real, Part.TEST).sites.numpy()))
    return [each for each in found if 1 < len(each.groups) <= MOST_GROUPS]


def _of(name: str, covariate: Covariate, numbers: FloatArray) -> Grouping:
    plain = "".join(each if each.isalnum() or each in "_-" else "-" for each in name)[:32]
    if covariate.values:
        return Grouping(plain, covariate.values, numbers.argmax(axis=1).astype(np.int64))
    assert covariate.lower is not None and covariate.upper is not None
    edges = np.linspace(covariate.lower, covariate.upper, BANDS + 1)
    band = np.clip(((numbers[:, 0] + 1) / 2 * BANDS).astype(np.int64), 0, BANDS - 1)
    groups = tuple(f"{plain} {low:g} to {high:g}" for low, high in pairwise(edges))
    return Grouping(plain, groups, band)


def random_gaps(
    labels: IntArray,
    probabilities: FloatArray,
    patients: IntArray,
    of: IntArray,
    groups: list[int],
    seed: int,
) -> FloatArray:
    """(at most SHUFFLES,) gaps of AUROC where whole patients are dealt to groups at random, as many to each.

    A grouping in which a group has one class alone has none.
    """
    rng = np.random.default_rng(seed)
    kept = np.isin(of, groups)
    _, first, owner = np.unique(patients[kept], return_index=True, return_inverse=True)
    group = of[kept][first]
    own_labels, own = labels[kept], probabilities[kept]
    gaps = []
    for _ in range(SHUFFLES):
        dealt = rng.permutation(group)[owner]
        weights = (dealt[None] == np.array(groups)[:, None]).astype(np.float64)
        if any(len(np.unique(own_labels[w > 0])) < len(np.unique(own_labels)) for w in weights):
            continue
        areas = weighted_auroc(own_labels, own, weights)
        gaps.append(float(areas.max() - areas.min()))
    return np.array(gaps)
