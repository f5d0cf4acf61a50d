"""The one place that joins: rows of single sites, each on its own patients, become rows over all of them.

How a value is joined is said by the value itself (`Value.pool`), so a new measure needs no code here. Only means
weighted by the number of patients are made of scores. They are not the score of all patients together, which would
need every patient's prediction in one place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from fedgen.run.row import SYNTHETIC, Finding, Pool, Row, SitePart, Value, worst

#: A value with its limits.
Estimate = tuple[float, float | None, float | None]

#: A sentence with a number of patients speaks of each site alone, even where the numbers happen to be equal.
_PATIENTS = re.compile(r"\d+ (training|held-out|test|real) ")
#: Of the forms in fedgen/run/row.py; a site cannot make a joined row larger.
_VALUES, _COUNTS = 32, 16


def join(rows_by_site: Mapping[str, Sequence[Row]]) -> tuple[Row, ...]:
    """One row for every id that a site has, in the order of the sites' names and their rows.

    The verdict of a row is the worst of the sites', with their reasons by text; `per_site` has what each site sent.
    """
    found: dict[str, dict[str, Row]] = {}
    for site in sorted(rows_by_site):
        for row in rows_by_site[site]:
            found.setdefault(row.id, {})[site] = row
    return tuple(_joined(rows) for rows in found.values())


def _joined(rows: Mapping[str, Row]) -> Row:
    first = next(iter(rows.values()))
    note = _common({site: row.note for site, row in rows.items()})
    parts = tuple(
        SitePart(site=site, values=row.values, n=row.n, findings=row.findings, note=row.note)
        for site, row in rows.items()
    )
    told = any(part.values or part.n or part.findings or part.note != note for part in parts)
    return Row(
        id=first.id,
        title=first.title,
        group=first.group,
        about=first.about,
        values=_values(rows),
        per_site=parts if told else (),
        n=summed([row.n for row in rows.values()]),
        findings=_findings(rows),
        note=note,
    )


def _common(notes: Mapping[str, str | None]) -> str | None:
    text = next(iter(notes.values()))
    same = text is not None and set(notes.values()) == {text} and not _PATIENTS.search(text)
    return text if same else None


def _findings(rows: Mapping[str, Row]) -> tuple[Finding, ...]:
    judged = {site: row for site, row in rows.items() if row.verdict is not None}
    verdict = worst(*(row.verdict for row in judged.values() if row.verdict is not None))
    reasons = {site: row.reason or "" for site, row in judged.items() if row.verdict is verdict}
    return tuple(
        Finding(verdict=verdict, sentence=text, sites=() if len(sites) == len(rows) else tuple(sites))
        for text, sites in by_text(reasons).items()
    )


def _values(rows: Mapping[str, Row]) -> tuple[Value, ...]:
    names = list(dict.fromkeys(value.name for row in rows.values() for value in row.values))
    joined = (_value({site: row.get(name) for site, row in rows.items()}, rows) for name in names[:_VALUES])
    return tuple(value for value in joined if value is not None)


def _value(values: Mapping[str, Value | None], rows: Mapping[str, Row]) -> Value | None:
    """The value over the sites; None where it stays with them."""
    told = [value for value in values.values() if value is not None]
    how = {(value.pool, value.weight) for value in told}
    pool, weight = told[0].pool, told[0].weight
    if pool == "none" or len(how) > 1:
        return None
    weights = {site: rows[site].n.get(weight, 0) if weight else 1 for site in rows}
    known = {
        site: (value.value, value.low, value.high)
        for site, value in values.items()
        if value is not None and value.value is not None and weights[site] > 0
    }
    value, low, high, note = _combined(pool, known, weights)
    return Value(
        name=told[0].name,
        value=value,
        low=low,
        high=high,
        chance=told[0].chance,
        note=note,
        pool=pool,
        weight=weight,
        without=tuple(site for site in values if site not in known),
    )


def _combined(
    pool: Pool, known: Mapping[str, Estimate], weights: Mapping[str, int]
) -> tuple[float | None, float | None, float | None, str | None]:
    """Value, limits and note of the values that are defined."""
    if not known:
        return None, None, None, None
    if pool == "mean":
        return *weighted_interval(list(known.values()), [weights[site] for site in known]), None
    if pool == "sum":
        return sum(each[0] for each in known.values()), None, None, None
    if len(set(known.values())) > 1:
        return None, None, None, "The sites have different values."
    return *next(iter(known.values())), None


def by_text(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """Each different text with the sites that say it."""
    sites: dict[str, list[str]] = {}
    for site, text in texts.items():
        sites.setdefault(text, []).append(site)
    return sites


def summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Counts over the sites; those of the release, which is one, are not added up."""
    keys = list(dict.fromkeys(key for each in counts for key in each))[:_COUNTS]
    return {
        key: (max if key.startswith(SYNTHETIC) else sum)([each[key] for each in counts if key in each])
        for key in keys
    }


def joined_limits(limits: Mapping[str, Sequence[str]]) -> list[str]:
    """What every site says, once; what only some say, with their names."""
    sites: dict[str, list[str]] = {}
    for site, said in limits.items():
        for text in said:
            sites.setdefault(text, []).append(site)
    return [
        text if len(who) == len(limits) and not _PATIENTS.search(text) else f"{', '.join(who)}: {text}"
        for text, who in sites.items()
    ]


def weighted_interval(estimates: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    """Weighted mean of independent estimates, with an interval from theirs; without one where one has none.

    The limits are those of Zou and Donner 2008 ("Construction of confidence limits about effect measures: a general
    approach", Statistics in Medicine 27, equation for a linear function): the distances from the estimates to their
    limits, each times its weight, add up in squares on either side.

    Args:
        estimates: (value, low, high) each.
        weights: positive; scaled to sum to one.
    """
    total = math.fsum(weights)
    shares = [weight / total for weight in weights]
    value = math.fsum(share * each[0] for share, each in zip(shares, estimates, strict=True))
    below = [
        None if low is None else share * (x - low)
        for share, (x, low, _) in zip(shares, estimates, strict=True)
    ]
    above = [
        None if high is None else share * (high - x)
        for share, (x, _, high) in zip(shares, estimates, strict=True)
    ]
    return value, _limit(value, below, -1), _limit(value, above, 1)


def _limit(value: float, distances: Sequence[float | None], side: int) -> float | None:
    known = [distance for distance in distances if distance is not None]
    return value + side * math.hypot(*known) if len(known) == len(distances) else None
