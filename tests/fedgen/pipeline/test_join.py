"""Joining numbers of sites: the worst verdict counts, what is missing is named, and only sound means are made."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.evidence.audit.result import Verdict
from fedgen.evidence.audit.verdict import SEVERITY, worst
from fedgen.pipeline.join_audit import CALM, join_audits, joined_limits, summed
from fedgen.pipeline.join_evaluation import join_evaluations, weighted_interval

ORDER = [verdict.value for verdict in SEVERITY]


def audit(
    *verdicts: str, n: int = 20, epsilon: float | None = None, limits: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The numbers of a site whose audits A, B, ... have these verdicts."""
    rows = [
        {
            "id": letter.lower(),
            "title": letter,
            "verdict": verdict,
            "reason": f"{letter} is {verdict}.",
            "values": [{"name": "AUC", "value": 0.5, "low": 0.4, "high": 0.6, "note": None}],
            "n": {"train_patients": n, "synthetic_images": 8},
        }
        for letter, verdict in zip("ABC", verdicts, strict=False)
    ]
    return {
        "verdict": worst([Verdict(verdict) for verdict in verdicts]).value,
        "reasons": [],
        "alpha": 0.05,
        "n": {"train_patients": n, "synthetic_images": 8},
        "claim": {"epsilon": epsilon, "delta": 1e-3},
        "audits": rows,
        "limits": list(limits),
        "seed": 5,
    }


verdicts = st.lists(st.sampled_from(ORDER), min_size=1, max_size=3)


@given(
    sites=st.dictionaries(st.text("abc", min_size=1, max_size=2), verdicts, max_size=4),
    absent=st.integers(0, 2),
)
def test_the_verdict_is_the_worst_and_nothing_unknown_passes(tiny_study, sites, absent) -> None:
    gone = {f"gone{i}": "no answer" for i in range(absent)}
    joined = join_audits(tiny_study(), {name: audit(*each) for name, each in sites.items()}, gone)
    seen = {verdict for each in sites.values() for verdict in each}
    if gone or not sites:
        seen |= {"INSUFFICIENT"}
    assert joined["verdict"] == min(seen, key=ORDER.index)
    assert (joined["reasons"] == [CALM]) == (joined["verdict"] == "PASS")
    for name in gone:
        assert any(
            reason.startswith(f"{name} is in the model and sent no audit") for reason in joined["reasons"]
        )
    json.dumps(joined, allow_nan=False)


def test_reasons_name_their_sites_the_worst_first(tiny_study) -> None:
    sites = {"west": audit("REVIEW", "FAIL"), "east": audit("PASS", "FAIL"), "north": audit("PASS", "PASS")}
    joined = join_audits(tiny_study(), sites, {"south": "it was not connected"})
    assert joined["reasons"] == [
        "B at east, west: B is FAIL.",
        "south is in the model and sent no audit (it was not connected).",
        "A at west: A is REVIEW.",
    ]
    assert [row["verdict"] for row in joined["audits"]] == ["REVIEW", "FAIL"]
    assert [row["reason"] for row in joined["audits"]] == ["west: A is REVIEW.", "east, west: B is FAIL."]
    assert joined["audits"][0]["values"] == []
    assert [site["site"] for site in joined["audits"][0]["per_site"]] == ["east", "north", "west"]
    assert joined["n"] == {"train_patients": 60, "synthetic_images": 8}


def test_a_site_cannot_call_its_own_audits_better_than_they_are(tiny_study) -> None:
    joined = join_audits(tiny_study(), {"east": {**audit("FAIL"), "verdict": "PASS"}}, {})
    assert joined["verdict"] == "FAIL"
    worse = join_audits(tiny_study(), {"east": {**audit("PASS"), "verdict": "REVIEW"}}, {})
    assert worse["verdict"] == "REVIEW"
    assert worse["reasons"] == ["Its own verdict at east: REVIEW."]


def test_the_claim_is_the_largest_and_chance_over_sites_is_said(tiny_study) -> None:
    joined = join_audits(tiny_study(), {"a": audit("PASS", epsilon=2.0), "b": audit("PASS", epsilon=3.5)}, {})
    assert joined["claim"] == {"epsilon": 3.5, "delta": 1e-3}
    assert any("over 2 sites" in limit and "up to 10%" in limit for limit in joined["limits"])
    assert join_audits(tiny_study(), {"a": audit("PASS")}, {})["claim"]["epsilon"] is None


def test_counts_add_up_but_the_release_is_one() -> None:
    assert summed([{"a": 1, "synthetic_images": 8}, {"a": 2, "b": 3, "synthetic_images": 8}]) == {
        "a": 3,
        "b": 3,
        "synthetic_images": 8,
    }


def test_limits_are_said_once_and_those_of_single_sites_with_their_name() -> None:
    said = joined_limits({"a": ["Same.", "With 9 training patients."], "b": ["Same.", "Own."]})
    assert said == ["Same.", "a: With 9 training patients.", "b: Own."]
    assert joined_limits({"a": ["With 9 training patients."]}) == ["a: With 9 training patients."]


estimate = st.tuples(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5))


@given(st.lists(st.tuples(estimate, st.integers(1, 500)), min_size=1, max_size=5))
def test_the_mean_lies_among_the_sites_and_its_interval_is_no_wider(sites) -> None:
    estimates = [(x, x - below, x + above) for (x, below, above), _ in sites]
    weights = [weight for _, weight in sites]
    value, low, high = weighted_interval(estimates, weights)
    assert low is not None and high is not None
    assert value == pytest.approx(np.average([e[0] for e in estimates], weights=weights))
    assert np.average([e[1] for e in estimates], weights=weights) - 1e-12 <= low <= value <= high
    assert high <= np.average([e[2] for e in estimates], weights=weights) + 1e-12


def test_of_equal_sites_the_interval_shrinks_with_the_root_of_their_number() -> None:
    value, low, high = weighted_interval([(0.7, 0.5, 0.8)] * 4, [3.0] * 4)
    assert (value, low, high) == pytest.approx((0.7, 0.6, 0.75))


def test_the_interval_covers_the_weighted_mean_as_often_as_the_sites_do() -> None:
    """An independent reference: normal estimates with known errors, whose mean has a known error."""
    rng = np.random.default_rng(0)
    errors, weights = np.array([0.05, 0.1, 0.02]), [30.0, 10.0, 60.0]
    shares = np.array(weights) / 100
    true = np.array([0.6, 0.7, 0.8])
    inside = 0
    for _ in range(2000):
        found = true + errors * rng.normal(size=3)
        _, low, high = weighted_interval([(x, x - 1.96 * e, x + 1.96 * e) for x, e in zip(found, errors, strict=True)],
                                         weights)  # fmt: skip
        assert low is not None and high is not None
        inside += low <= float(shares @ true) <= high
    assert 0.935 < inside / 2000 < 0.965


def test_without_an_interval_of_every_site_there_is_none() -> None:
    assert weighted_interval([(0.5, None, 0.6), (0.7, 0.6, 0.8)], [1, 1])[1] is None
    assert weighted_interval([(0.5, None, 0.6), (0.7, 0.6, 0.8)], [1, 1])[2] == pytest.approx(
        0.6 + math.hypot(0.05, 0.05)
    )


def evaluation(auroc: float | None, patients: int) -> dict[str, Any]:
    score = (
        None
        if auroc is None
        else {"value": auroc, "low": auroc - 0.1, "high": auroc + 0.1, "std_seeds": 0.01}
    )
    return {
        "n": {"test_patients": patients, "synthetic_images": 8},
        "fidelity": [
            {
                "extractor": {"name": "radiomics", "hash": "ab", "dimensions": 3}, "metric": metric, "n_real": 9,
                "n_synthetic": 8, "note": None, "value": 1.0, "std": 0.1, "floor": 0.5, "floor_std": None,
            }
            for metric in ("FID", "KID")
        ],
        "diversity": {
            "metric": "MS-SSIM", "scales": 1,
            "classes": [{"class": "none", "synthetic": 0.5, "real": 0.4, "pairs": 9, "note": None}],
        },
        "downstream": {
            "steps": 2, "seeds": 1,
            "arms": [
                {"arm": "TSTR", "title": "t", "n_train": 8, "auroc": score, "balanced_accuracy": score, "note": None}
            ],
            "differences": [
                {"arm": "TSTR", "against": "TRTR", "metric": "auroc", "value": auroc, "low": auroc, "high": auroc}
            ],
        },
        "limits": ["Same."], "seed": 5,
    }  # fmt: skip


def test_scores_are_weighted_by_test_patients_and_an_undefined_one_is_named(tiny_study) -> None:
    sites = {"a": evaluation(0.6, 10), "b": evaluation(0.9, 30), "c": evaluation(None, 50)}
    joined = join_evaluations(tiny_study(), sites, {"d": "no answer"})
    (arm,) = joined["downstream"]["arms"]
    assert arm["pooled"]["auroc"]["value"] == pytest.approx(0.825)
    assert arm["pooled"]["auroc"]["std_seeds"] is None
    assert arm["pooled"]["note"] == "Without c, where it is undefined."
    assert [site["site"] for site in arm["per_site"]] == ["a", "b", "c"]
    (difference,) = joined["downstream"]["differences"]
    assert difference["value"] == pytest.approx(0.825)
    assert [site["value"] for site in difference["per_site"]] == [0.6, 0.9, None]
    assert [(row["metric"], row["site"]) for row in joined["fidelity"]] == [
        (metric, site) for metric in ("FID", "KID") for site in "abc"
    ]
    assert [row["site"] for row in joined["diversity"]["classes"]] == ["a", "b", "c"]
    assert joined["n"] == {"test_patients": 90, "synthetic_images": 8}
    assert joined["absent"] == [{"site": "d", "reason": "no answer"}]
    assert joined["limits"][0] == "Same."
    assert "not the score of all patients together" in joined["downstream"]["pooling"]
    json.dumps(joined, allow_nan=False)


def test_no_evaluation_at_all_is_an_empty_one(tiny_study) -> None:
    joined = join_evaluations(tiny_study(), {}, {"a": "no answer"})
    assert (
        joined["fidelity"]
        == joined["downstream"]["arms"]
        == joined["diversity"]["classes"]
        == joined["limits"]
        == []
    )
    undefined = join_evaluations(tiny_study(), {"a": evaluation(None, 0)}, {})
    assert undefined["downstream"]["arms"][0]["pooled"]["auroc"] is None
