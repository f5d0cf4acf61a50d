"""Equal opportunity: is a class found as often in one sex, age or site as in another (Hardt et al. 2016)?

An AUROC asks how well patients are ranked within a group; what a patient meets is a decision. So of the images of each
class the share is taken that the network finds, in each group, and the gap from best to worst is held against the gaps
that random groups of the same sizes have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.downstream.bootstrap import percentile_interval, replicate_weights
from fedgen.evidence.downstream.cells import MINIMUM_PATIENTS
from fedgen.evidence.downstream.subgroups import PATIENTS, SHUFFLES, SMALLEST, Grouping, by_group
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.pooled import pooled
from fedgen.run.row import MOST_VALUES, Row, Value, cut
from fedgen.study.evaluation_section import EvaluationSection

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

GROUP = "opportunity"
#: Letters of a value's name.
_LETTERS = 128
ABOUT = (
    "Of the test images of a class the share that the network finds, with its most probable class as its decision: the "
    "true positive rate, within each group, and the gap from best to worst. A gap is above 0 by luck alone: beside it "
    "is that of random groups of the same sizes, and p that it is no larger, of one gap at a time."
)
FEW = "Too few patients of the class."


@dataclass(frozen=True)
class EqualOpportunity(Measure):
    """True positive rates and their gaps by covariate and site."""

    id = "opportunity"
    title = "Equal opportunity"
    order = 8
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """A row for each grouping and arm; nothing where no score is defined."""
        for grouping, opinion in by_group(real, made, self.options, seed):
            yield self._row(real, grouping, opinion.arm, opinion.mean.argmax(axis=1), seed)

    def _row(self, real: Real, grouping: Grouping, arm: str, decided: IntArray, seed: int) -> Row:
        test = pooled(real, Part.TEST)
        labels, patients = test.labels.numpy(), test.patients.numpy()
        rates: list[Value] = []
        gaps: list[Value] = []
        smallest: list[int] = []
        for c, name in enumerate(real.classes):
            own = (labels == c) & (grouping.of >= 0)
            cells = _Cells(decided[own] == c, patients[own], grouping.of[own], len(grouping.groups))
            smallest += cells.known.values()
            rates += self._rates(cells, name, grouping, seed)
            gaps += self._gap(cells, name, seed)
        room = len(rates) + len(gaps) <= MOST_VALUES
        return Row(
            id=f"opportunity-{grouping.name}-{arm}",
            title=cut(f"{arm} by {grouping.name}"),
            group=GROUP,
            about=ABOUT,
            values=tuple([*gaps, *rates] if room else gaps[:MOST_VALUES]),
            # The fewest patients that a rate is of decide whether the row may leave.
            n={PATIENTS: test.n_patients, SMALLEST: min(smallest, default=0)},
            note=None if gaps else "No class has two groups with enough patients.",
        )

    def _rates(self, cells: _Cells, name: str, grouping: Grouping, seed: int) -> Iterator[Value]:
        for g, group in enumerate(grouping.groups):
            what = f"TPR {name}, {group}"[:_LETTERS]
            if g not in cells.known:
                yield Value(name=what, value=None, note=FEW)
                continue
            low, high = percentile_interval(cells.replicates(g, self.options.bootstrap, seed))
            yield Value(name=what, value=cells.rate(g), low=low, high=high)

    def _gap(self, cells: _Cells, name: str, seed: int) -> Iterator[Value]:
        if len(cells.known) < 2:
            return
        gap = cells.gap()
        replicates = np.stack([cells.replicates(g, self.options.bootstrap, seed) for g in cells.known])
        low, high = percentile_interval(replicates.max(axis=0) - replicates.min(axis=0))
        luck = cells.gaps_of_random_groups(seed)
        yield Value(name=f"gap, {name}"[:_LETTERS], value=gap, low=low, high=high)
        yield Value(name=f"gap of random groups, {name}"[:_LETTERS], value=float(luck.mean()))
        p = float((1 + (luck >= gap - 1e-12).sum()) / (1 + len(luck)))
        yield Value(name=f"p, gap, {name}"[:_LETTERS], value=p)


class _Cells:
    """The images of one class by group.

    Args:
        found: (n,) whether each was found.
        patients: (n,) whose it is.
        of: (n,) its group.
        groups: how many there are.

    Attributes:
        known: group to its patients, of those with enough.
    """

    def __init__(self, found: BoolArray, patients: IntArray, of: IntArray, groups: int) -> None:
        self._found, self._patients, self._of = found, patients, of
        counts = {g: len(np.unique(patients[of == g])) for g in range(groups)}
        self.known = {g: count for g, count in counts.items() if count >= MINIMUM_PATIENTS}

    def rate(self, group: int) -> float:
        """The share found in a group."""
        return float(self._found[self._of == group].mean())

    def gap(self) -> float:
        """From the best group to the worst."""
        rates = [self.rate(g) for g in self.known]
        return max(rates) - min(rates)

    def replicates(self, group: int, replicates: int, seed: int) -> FloatArray:
        """(replicates,) the share found where the group's patients are drawn anew."""
        own = self._of == group
        one_class = np.zeros(int(own.sum()), np.int64)
        weights = replicate_weights(self._patients[own], one_class, replicates, seed=seed + group)
        rates: FloatArray = weights @ self._found[own] / weights.sum(axis=1)
        return rates

    def gaps_of_random_groups(self, seed: int) -> FloatArray:
        """(SHUFFLES,) gaps where whole patients are dealt to the groups at random, as many to each."""
        rng = np.random.default_rng(seed)
        kept = np.isin(self._of, list(self.known))
        _, first, owner = np.unique(self._patients[kept], return_index=True, return_inverse=True)
        group, found = self._of[kept][first], self._found[kept]
        gaps = []
        for _ in range(SHUFFLES):
            dealt = rng.permutation(group)[owner]
            rates = [found[dealt == g].mean() for g in self.known]
            gaps.append(max(rates) - min(rates))
        return np.array(gaps)
