"""Joining rows of sites: the worst verdict counts, what is missing is named, and only sound means are made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.evidence.files import CALM, joined_audit, joined_evaluation
from fedgen.evidence.join import join, joined_limits, summed, weighted_interval
from fedgen.run.evidence_files import AuditFile, AuditNumbers, Claim, EvaluationFile, EvaluationNumbers
from fedgen.run.row import SEVERITY, Finding, Row, SitePart, Value, Verdict

ORDER = list(SEVERITY)


def audit(
    *verdicts: Verdict, n: int = 20, epsilon: float | None = None, limits: tuple[str, ...] = ()
) -> AuditNumbers:
    """The numbers of a site whose audits A, B, ... have these verdicts."""
    counts = {"train_patients": n, "synthetic_images": 8}
    rows = tuple(
        Row(
            id=letter.lower(),
            title=letter,
            group="audit",
            values=(Value(name="AUC", value=0.5, low=0.4, high=0.6),),
            n=counts,
            findings=(Finding(verdict=verdict, sentence=f"{letter} is {verdict}."),),
        )
        for letter, verdict in zip("ABC", verdicts, strict=False)
    )
    claim = Claim(epsilon=epsilon, delta=1e-3)
    return AuditNumbers(alpha=0.05, n=counts, claim=claim, rows=rows, limits=limits, seed=5)


verdicts = st.lists(st.sampled_from(ORDER), min_size=1, max_size=3)


@given(
    sites=st.dictionaries(st.text("abc", min_size=1, max_size=2), verdicts, max_size=4),
    absent=st.integers(0, 2),
)
def test_the_verdict_is_the_worst_and_nothing_unknown_passes(tiny_study, sites, absent) -> None:
    gone = {f"gone{i}": "no answer" for i in range(absent)}
    joined = joined_audit(tiny_study(), {name: audit(*each) for name, each in sites.items()}, gone)
    seen = {verdict for each in sites.values() for verdict in each}
    if gone or not sites:
        seen |= {Verdict.INSUFFICIENT}
    assert joined.verdict == min(seen, key=ORDER.index)
    assert (joined.reasons == (CALM,)) == (joined.verdict is Verdict.PASS)
    for name in gone:
        assert any(
            reason.startswith(f"{name} is in the model and sent no audit") for reason in joined.reasons
        )
    assert {each.site: each.verdict for each in joined.sites} == {
        name: min(each, key=ORDER.index) for name, each in sites.items()
    }
    assert AuditFile.model_validate_json(joined.model_dump_json()) == joined


@given(
    sites=st.dictionaries(st.sampled_from("ab"), verdicts, max_size=2), together=verdicts, gone=st.booleans()
)
def test_with_all_patients_together_a_site_is_only_not_too_small(tiny_study, sites, together, gone) -> None:
    """Who cannot be judged alone is judged with the others; every other verdict counts, and so does a silent site."""
    pooled = audit(*together)
    absent = {"gone": "no answer"} if gone else {}
    told = {name: audit(*each) for name, each in sites.items()}
    joined = joined_audit(tiny_study(), told, absent, pooled)
    seen = {verdict for each in sites.values() for verdict in each} - {Verdict.INSUFFICIENT}
    seen |= set(together) | ({Verdict.INSUFFICIENT} if gone or not sites else set())
    assert joined.verdict == min(seen, key=ORDER.index)
    assert (joined.reasons == (CALM,)) == (joined.verdict is Verdict.PASS)
    assert joined.pooled == pooled.rows
    assert joined.rows == joined_audit(tiny_study(), told, absent).rows


def test_reasons_name_their_sites_the_worst_first(tiny_study) -> None:
    fail, review, calm = Verdict.FAIL, Verdict.REVIEW, Verdict.PASS
    sites = {"west": audit(review, fail), "east": audit(calm, fail), "north": audit(calm, calm)}
    joined = joined_audit(tiny_study(), sites, {"south": "it was not connected"})
    assert joined.reasons == (
        "B at east, west: B is FAIL.",
        "south is in the model and sent no audit (it was not connected).",
        "A at west: A is REVIEW.",
    )
    assert joined.rows[0].findings == (Finding(verdict=review, sentence="A is REVIEW.", sites=("west",)),)
    assert joined.rows[1].findings == (Finding(verdict=fail, sentence="B is FAIL.", sites=("east", "west")),)
    # Sites' distances and scores are not comparable, so an audit's values stay with their sites.
    assert joined.rows[0].values == ()
    assert [part.site for part in joined.rows[0].per_site] == ["east", "north", "west"]
    assert joined.rows[0].per_site[0].values == sites["east"].rows[0].values
    assert joined.n == {"train_patients": 60, "synthetic_images": 8}


def test_a_reason_of_all_sites_names_none(tiny_study) -> None:
    joined = joined_audit(tiny_study(), {"a": audit(Verdict.PASS), "b": audit(Verdict.PASS)}, {})
    assert joined.rows[0].findings == (Finding(verdict=Verdict.PASS, sentence="A is PASS."),)


def test_a_site_cannot_pass_by_saying_nothing() -> None:
    """What its whole audit says is told from its rows, and every row must judge."""
    silent = audit(Verdict.PASS).rows[0].model_copy(update={"findings": ()})
    with pytest.raises(ValueError, match="without a verdict"):
        AuditNumbers(**{**dict(audit(Verdict.PASS)), "rows": (silent,)})


def test_the_claim_is_the_largest_and_chance_over_sites_is_said(tiny_study) -> None:
    sites = {"a": audit(Verdict.PASS, epsilon=2.0), "b": audit(Verdict.PASS, epsilon=3.5)}
    joined = joined_audit(tiny_study(), sites, {})
    assert joined.claim == Claim(epsilon=3.5, delta=1e-3)
    assert any("over 2 sites" in limit and "up to 10%" in limit for limit in joined.limits)
    assert joined_audit(tiny_study(), {"a": audit(Verdict.PASS)}, {}).claim.epsilon is None


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
        _, low, high = weighted_interval(
            [(x, x - 1.96 * e, x + 1.96 * e) for x, e in zip(found, errors, strict=True)], weights
        )
        assert low is not None and high is not None
        inside += low <= float(shares @ true) <= high
    assert 0.935 < inside / 2000 < 0.965


def test_without_an_interval_of_every_site_there_is_none() -> None:
    assert weighted_interval([(0.5, None, 0.6), (0.7, 0.6, 0.8)], [1, 1])[1] is None
    assert weighted_interval([(0.5, None, 0.6), (0.7, 0.6, 0.8)], [1, 1])[2] == pytest.approx(
        0.6 + math.hypot(0.05, 0.05)
    )


def metric(site_value: float | None, n: int, *, pool: Any = "mean", **fields: Any) -> Row:
    """A row of one site with the value x, over n test patients."""
    weight = "test_patients" if pool == "mean" else None
    value = Value(name="x", value=site_value, pool=pool, weight=weight, std=0.5, **fields)
    return Row(id="m", title="M", group="downstream", values=(value,), n={"test_patients": n})


@given(
    st.dictionaries(
        st.text("abcd", min_size=1, max_size=2),
        st.tuples(st.none() | st.floats(-5, 5), st.integers(0, 60)),
        min_size=1,
        max_size=6,
    )
)
def test_n_sites_joined_are_the_formula(sites) -> None:
    (row,) = join({site: [metric(value, n)] for site, (value, n) in sites.items()})
    known = {site: each for site, each in sites.items() if each[0] is not None and each[1] > 0}
    (value,) = row.values
    if known:
        values, weights = zip(*known.values(), strict=True)
        assert value.value == pytest.approx(np.average(values, weights=weights), abs=1e-9)
    else:
        assert value.value is None
    assert value.without == tuple(sorted(set(sites) - set(known)))
    assert value.std is None
    assert row.n == {"test_patients": sum(n for _, n in sites.values())}
    assert [part.site for part in row.per_site] == sorted(sites)
    assert [part.values for part in row.per_site] == [metric(*sites[site]).values for site in sorted(sites)]


def test_a_sum_adds_up_and_what_must_be_the_same_is() -> None:
    def over(pool: str, *values: float | None) -> Value:
        (row,) = join({f"s{i}": [metric(value, 5, pool=pool)] for i, value in enumerate(values)})
        return row.values[0]

    assert over("sum", 1, 2, None).value == 3 and over("sum", 1, 2, None).without == ("s2",)
    assert type(over("sum", 1, 2).value) is int
    assert over("same", 4, 4).value == 4
    assert over("same", 4, 5).value is None and "different" in (over("same", 4, 5).note or "")
    (row,) = join({"a": [metric(1, 5, pool="none")], "b": [metric(1, 5, pool="none")]})
    assert row.values == ()


def test_a_value_that_sites_join_in_different_ways_stays_with_them() -> None:
    (row,) = join({"a": [metric(1, 5, pool="sum")], "b": [metric(1, 5)]})
    assert row.values == () and len(row.per_site) == 2


def test_a_site_that_lacks_a_value_or_a_row_is_told() -> None:
    bare = Row(id="m", title="M", group="downstream", note="Too few patients.")
    only = Row(id="own", title="Own", group="other", values=(Value(name="x", value=1),), n={"images": 3})
    found = {row.id: row for row in join({"a": [bare], "b": [metric(0.9, 30), only]})}
    assert found["m"].values[0].value == pytest.approx(0.9) and found["m"].values[0].without == ("a",)
    assert found["m"].per_site[0] == SitePart(site="a", note="Too few patients.")
    assert [part.site for part in found["own"].per_site] == ["b"]


def test_a_note_of_all_sites_is_said_once_unless_it_counts_patients() -> None:
    def noted(*notes: str) -> Row:
        (row,) = join(
            {f"s{i}": [Row(id="m", title="M", group="g", note=note)] for i, note in enumerate(notes)}
        )
        return row

    assert noted("Same.", "Same.").note == "Same." and noted("Same.", "Same.").per_site == ()
    assert noted("Same.", "Own.").note is None
    assert [part.note for part in noted("Same.", "Own.").per_site] == ["Same.", "Own."]
    counted = "Real reference: 9 images of 5 held-out patients."
    assert noted(counted, counted).note is None and len(noted(counted, counted).per_site) == 2


def test_a_site_cannot_make_a_joined_row_too_large() -> None:
    many = {
        site: [
            Row(
                id="m", title="M", group="g", n={f"{site}{i}": 1 for i in range(16)},
                values=tuple(Value(name=f"{site}{i}", value=1, pool="sum") for i in range(32)),
            )
        ]
        for site in "ab"
    }  # fmt: skip
    (row,) = join(many)
    assert len(row.values) == 32 and len(row.n) == 16


def evaluation(auroc: float | None, patients: int) -> EvaluationNumbers:
    n = {"test_patients": patients, "synthetic_images": 8}
    return EvaluationNumbers(n=n, rows=(metric(auroc, patients),), limits=("Same.",), seed=5)


def test_an_evaluation_of_a_federation(tiny_study) -> None:
    sites = {"a": evaluation(0.6, 10), "b": evaluation(0.9, 30), "c": evaluation(None, 50)}
    joined = joined_evaluation(tiny_study(), sites, {"d": "no answer"})
    assert joined.rows[0].values[0].value == pytest.approx(0.825)
    assert joined.n == {"test_patients": 90, "synthetic_images": 8}
    assert [(absent.site, absent.reason) for absent in joined.absent] == [("d", "no answer")]
    assert joined.limits[0] == "Same."
    assert "not the score of all patients together" in (joined.pooling or "")
    assert EvaluationFile.model_validate_json(joined.model_dump_json()) == joined


def test_no_evaluation_at_all_is_an_empty_one(tiny_study) -> None:
    joined = joined_evaluation(tiny_study(), {}, {"a": "no answer"})
    assert joined.rows == joined.limits == ()
