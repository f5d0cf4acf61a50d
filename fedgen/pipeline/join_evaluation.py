"""The evaluations of single sites, joined into one evaluation.json: pure functions of numbers.

Only means over the sites, weighted by test patients, are made of the sites' scores. They are not the score of all
patients together, which would need every patient's prediction in one place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedgen.evidence.downstream.cells import METRICS
from fedgen.pipeline.join_audit import joined_limits, summed
from fedgen.study.study import Study

Json = dict[str, Any]

WHERE = (
    "The sites evaluated the synthetic images, each against its own patients on its own machine. Only these numbers "
    "left them, as far as each site's policy allows; the training's epsilon does not cover them."
)
POOLING = (
    "Mean over the sites, weighted by their test patients, of scores that each site found on its own patients; its "
    "interval is made of the sites' own, which are independent (Zou and Donner 2008). It is not the score of all "
    "patients together."
)
LIMITS = (
    "At each site TRTR and the arms with real images are trained on that site's own training patients alone: a "
    "federated or pooled classifier may do better.",
    "Fidelity compares the whole synthetic set with one site's patients, so it also shows how far that site is from "
    "the others.",
)


def join_evaluations(study: Study, evaluations: Mapping[str, Json], absent: Mapping[str, str]) -> Json:
    """The content of evaluation.json.

    Args:
        study: the resolved study.
        evaluations: site to its `EvaluationNumbers`.
        absent: sites in the model without an evaluation, with the reason.
    """
    found = {site: evaluations[site] for site in sorted(evaluations)}
    limits = joined_limits({site: each["limits"] for site, each in found.items()})
    return {
        "n": summed([each["n"] for each in found.values()]),
        "where": WHERE,
        "absent": [{"site": site, "reason": absent[site]} for site in sorted(absent)],
        "fidelity": [{"site": site, **row} for row, site in _listed(found, "fidelity")],
        "diversity": _diversity(found),
        "downstream": _downstream(study, found),
        "limits": [*limits, *LIMITS] if found else limits,
        "seed": study.study.seed,
    }


def _listed(found: Mapping[str, Json], key: str) -> list[tuple[Json, str]]:
    """(row, site) of a list that every site has, row by row and then site by site."""
    longest = max((len(each[key]) for each in found.values()), default=0)
    return [
        (each[key][i], site) for i in range(longest) for site, each in found.items() if i < len(each[key])
    ]


def _diversity(found: Mapping[str, Json]) -> Json:
    tables = {site: each["diversity"] for site, each in found.items()}
    first: Json = next(iter(tables.values()), {"metric": None, "scales": None})
    return {
        "metric": first["metric"],
        "scales": first["scales"],
        "classes": [{"site": site, **row} for row, site in _listed(tables, "classes")],
    }


def _downstream(study: Study, found: Mapping[str, Json]) -> Json:
    weights = {site: int(each["n"].get("test_patients", 0)) for site, each in found.items()}
    tables = {site: each["downstream"] for site, each in found.items()}
    arms: dict[str, dict[str, Json]] = {}
    differences: dict[tuple[str, str, str], dict[str, Json]] = {}
    for site, table in tables.items():
        for arm in table["arms"]:
            arms.setdefault(arm["arm"], {})[site] = arm
        for row in table["differences"]:
            differences.setdefault((row["arm"], row["against"], row["metric"]), {})[site] = row
    classes = study.data.labels
    task = (
        f"Tell {', '.join(classes[:-1])} from {classes[-1]} in an image, at each site on its own held-out patients"
        if len(classes) > 1
        else f"None: the study has one class, {classes[0]}"
    )
    return {
        "task": task,
        "steps": study.evaluation.steps,
        "seeds": study.evaluation.seeds,
        "pooling": POOLING,
        "arms": [_arm(rows, weights) for rows in arms.values()],
        "differences": [_difference(rows, weights) for rows in differences.values()],
    }


def _arm(rows: Mapping[str, Json], weights: Mapping[str, int]) -> Json:
    first = next(iter(rows.values()))
    missing = [site for site, row in rows.items() if any(row[metric] is None for metric in METRICS)]
    return {
        "arm": first["arm"],
        "title": first["title"],
        "n_train": None,
        "pooled": {
            **{metric: _mean({s: row[metric] for s, row in rows.items()}, weights) for metric in METRICS},
            "note": f"Without {', '.join(missing)}, where it is undefined." if missing else None,
        },
        "per_site": [
            {
                "site": site,
                "test_patients": weights[site],
                **{key: row[key] for key in ("n_train", *METRICS, "note")},
            }
            for site, row in rows.items()
        ],
    }


def _difference(rows: Mapping[str, Json], weights: Mapping[str, int]) -> Json:
    first = next(iter(rows.values()))
    told = {site: row if row["value"] is not None else None for site, row in rows.items()}
    mean = _mean(told, weights) or {"value": None, "low": None, "high": None}
    return {
        **{key: first[key] for key in ("arm", "against", "metric")},
        **{key: mean[key] for key in ("value", "low", "high")},
        "per_site": [
            {"site": site, **{key: row[key] for key in ("value", "low", "high")}}
            for site, row in rows.items()
        ],
    }


def _mean(scores: Mapping[str, Json | None], weights: Mapping[str, int]) -> Json | None:
    known = {site: score for site, score in scores.items() if score is not None and weights[site] > 0}
    if not known:
        return None
    value, low, high = weighted_interval(
        [(score["value"], score["low"], score["high"]) for score in known.values()],
        [weights[site] for site in known],
    )
    return {"value": value, "low": low, "high": high, "std_seeds": None}


def weighted_interval(
    estimates: Sequence[tuple[float, float | None, float | None]], weights: Sequence[float]
) -> tuple[float, float | None, float | None]:
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
