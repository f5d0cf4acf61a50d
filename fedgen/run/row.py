"""A row of evidence: what one audit or one metric says, in the only form that wire, files and report know.

What is not named here does not travel: a list by patient, a picture, a path or a new field of a measure is an error at
the site that would send it, not a leak. Both ends check; sentences are short and of printable characters.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from fedgen.schema.section import Section

Word = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_+-]+$")]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Sentence = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]
#: How many patients, images or pairs are behind a number. Those whose name begins with `synthetic_` are of the
#: release, which is one: they are not added up over sites, and say nothing of how many people are behind a number.
Counts = Annotated[dict[Word, Count], Field(max_length=16)]
#: A whole number stays one, and is printed so.
Number = Annotated[int, Field(ge=-(2**53), lt=2**53)] | float
SYNTHETIC = "synthetic_"
#: Of one row or of a site's part of it.
MOST_VALUES = 32
#: The count of records that sites made up to audit a training: they add up over sites, and nobody is behind them.
CANARIES = "canaries"
#: The note of a row whose numbers a site has kept.
WITHHELD = "Too few patients: the numbers stay at the site."
Pool = Literal["none", "mean", "sum", "same"]


class Verdict(StrEnum):
    """The gate's words. PASS is never given where n was too small to find anything."""

    PASS = "PASS"
    REVIEW = "REVIEW"
    FAIL = "FAIL"
    INSUFFICIENT = "INSUFFICIENT"


#: the worst first; INSUFFICIENT outranks REVIEW, because there is nothing for a reviewer to accept
SEVERITY = (Verdict.FAIL, Verdict.INSUFFICIENT, Verdict.REVIEW, Verdict.PASS)


class _Checked(Section):
    # A copy is not checked when it is made, nor is one with more in it than its class names: it is where it leaves.
    # And an error about it does not quote it.
    model_config = ConfigDict(revalidate_instances="always", hide_input_in_errors=True)


class Value(_Checked):
    """One number of a row.

    Attributes:
        name: for the table, such as "AUC".
        value: the estimate; None where undefined.
        low, high: limits of its interval.
        std: its standard deviation over seeds, splits or subsets.
        chance: what it would be by chance alone, for the eye; its axis is then from 0 to 1.
        note: what a reader must know, such as why there is no number.
        pool: how the values of several sites become one: `mean` is weighted by the count `weight`, with an interval
            from those of the sites; `same` is one that must be equal at all sites; `none` stays with its site.
        weight: a name in the row's `n`.
        without: sites that are not in the joined value because it is undefined there.
    """

    name: Sentence
    value: Number | None
    low: float | None = None
    high: float | None = None
    std: float | None = None
    chance: float | None = None
    note: Sentence | None = None
    pool: Pool = "none"
    weight: Word | None = None
    without: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _weighted(self) -> Self:
        if (self.pool == "mean") != (self.weight is not None):
            raise ValueError("a mean over sites, and nothing else, has a weight")
        return self

    @classmethod
    def of(
        cls, name: str, value: float | None, low: float | None = None, high: float | None = None,
        note: str | None = None,
    ) -> Self:  # fmt: skip
        """A value that may not be finite: it becomes None and says so; limits that are not finite are none."""
        if value is not None and not math.isfinite(value):
            note = f"{note}; not finite" if note else "not finite"
        return cls(name=name, value=_finite(value), low=_finite(low), high=_finite(high), note=note)


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else number


class Finding(_Checked):
    """A verdict and the sentence that says why; `sites` are those that say it, where sites were joined."""

    verdict: Verdict
    sentence: Sentence
    sites: tuple[Name, ...] = ()


class _Part(_Checked):
    values: Annotated[tuple[Value, ...], Field(max_length=MOST_VALUES)] = ()
    n: Counts = Field(default_factory=dict)
    findings: Annotated[tuple[Finding, ...], Field(max_length=1024)] = ()
    note: Sentence | None = None

    @property
    def verdict(self) -> Verdict | None:
        """The most severe of the findings; None where the row judges nothing."""
        return worst(*(finding.verdict for finding in self.findings)) if self.findings else None

    @property
    def reason(self) -> str | None:
        """The sentence of the first finding as severe as the verdict."""
        return next((each.sentence for each in self.findings if each.verdict is self.verdict), None)

    def get(self, name: str) -> Value | None:
        """The value of that name."""
        return next((value for value in self.values if value.name == name), None)


class SitePart(_Part):
    """What a row says of one site."""

    site: Name


class Row(_Part):
    """One audit, or one line of a table of metrics.

    Attributes:
        id: stable, such as "copy-detection"; rows of the same id are joined over sites.
        title: for people.
        group: rows of one group are shown together.
        about: what is measured, for a reader who meets it here first.
        values: over all sites.
        per_site: the same of each site.
        n: sample sizes.
        findings: of an audit, verdicts with their reasons, the worst first.
        note: what a reader must know of the whole row.
    """

    id: Word
    title: Sentence
    group: Word
    about: Sentence | None = None
    per_site: Annotated[tuple[SitePart, ...], Field(max_length=1024)] = ()


def cut(text: str) -> str:
    """A text as a sentence of a row: too long a one ends in an ellipsis."""
    return text if len(text) <= 1000 else f"{text[:999]}\u2026"


def worst(*verdicts: Verdict) -> Verdict:
    """The most severe; PASS of none."""
    return min(verdicts, key=SEVERITY.index, default=Verdict.PASS)


def _one_site(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    for row in rows:
        if row.per_site or any(v.without for v in row.values) or any(f.sites for f in row.findings):
            raise ValueError(f"row {row.id} speaks of several sites, and a site sends its own numbers alone")
        if row.id in {other.id for other in rows if other is not row}:
            raise ValueError(f"two rows have the id {row.id}")
    return rows


#: Rows as one site sends them.
LeavingRows = Annotated[tuple[Row, ...], Field(min_length=1, max_length=2048), AfterValidator(_one_site)]
