"""Rows of numbers by case: the mean over the patients of all sites, that of each site, and differences of two arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.evidence.downstream.over_cases import Replicates, score_of, too_few
from fedgen.run.row import Finding, Row, SitePart, Value

FloatArray = NDArray[np.float64]
#: A number of every case by name, in the order of the table; None where an arm has none, NaN where a case has none.
Columns = Mapping[str, FloatArray | None]

PATIENTS = "test_patients"


@dataclass(frozen=True)
class Tested:
    """The test patients of some sites.

    Attributes:
        sites: names.
        owners: (cases,) the site of each patient, as an index.
        boot: replicates of the patients.
    """

    sites: Sequence[str]
    owners: NDArray[np.int64]
    boot: Replicates

    @property
    def cases(self) -> int:
        """Number of patients."""
        return len(self.owners)

    def values(
        self,
        columns: Columns,
        keep: NDArray[np.bool_] | None = None,
        seeds: Mapping[str, Sequence[float]] | None = None,
    ) -> tuple[Value, ...]:
        """The mean of each column over the cases that are kept, with its interval.

        Args:
            columns: numbers by case.
            keep: (cases,); all where None.
            seeds: by column, what single networks have, for a standard deviation.
        """
        made = []
        for name, column in columns.items():
            known = None if column is None else (column if keep is None else column[keep])
            known = None if known is None else known[np.isfinite(known)]
            score = score_of(known, self.boot, seeds=(seeds or {}).get(name, ()))
            made.append(
                Value(
                    name=name,
                    value=None if score is None else score.value,
                    low=None if score is None else score.low,
                    high=None if score is None else score.high,
                    std=None if score is None else score.std_seeds,
                    pool="mean",
                    weight=PATIENTS,
                )
            )
        return tuple(made)

    def row(
        self,
        id: str,
        title: str,
        group: str,
        columns: Columns,
        *,
        about: str | None = None,
        findings: tuple[Finding, ...] = (),
        note: str | None = None,
        more: tuple[Value, ...] = (),
        seeds: Mapping[str, Sequence[float]] | None = None,
    ) -> Row:
        """A row of one arm: over all cases, and of each site.

        Args:
            id, title, group, about, findings: of the row.
            columns: numbers by case.
            note: where there are cases enough.
            more: further values of all sites together.
            seeds: see `values`.
        """
        parts = []
        for number, site in enumerate(self.sites):
            own = self.owners == number
            count = int(own.sum())
            parts.append(
                SitePart(
                    site=site, values=self.values(columns, own), n={PATIENTS: count}, note=too_few(count)
                )
            )
        return Row(
            id=id,
            title=title,
            group=group,
            about=about,
            values=(*self.values(columns, seeds=seeds), *more),
            per_site=tuple(parts),
            n={PATIENTS: self.cases},
            findings=findings,
            note=too_few(self.cases) or note,
        )

    def difference(self, id: str, title: str, group: str, ours: Columns, theirs: Columns) -> Row:
        """A row of the paired differences of two arms on the same patients."""
        return Row(
            id=id,
            title=title,
            group=group,
            values=self.values({name: less(ours[name], theirs[name]) for name in ours}),
            n={PATIENTS: self.cases},
        )


def less(ours: FloatArray | None, theirs: FloatArray | None) -> FloatArray | None:
    """The difference case by case; None where one of the two has no numbers."""
    return None if ours is None or theirs is None else ours - theirs
