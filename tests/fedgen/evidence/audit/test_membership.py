"""Membership verdicts, the blind baseline, and what happens with too few patients."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from fedgen.data.site_data import Part, SiteData
from fedgen.errors import DataError
from fedgen.evidence.audit.audited import cohorts
from fedgen.evidence.audit.blind import blind_baseline
from fedgen.evidence.audit.membership import RATES, Rules, Scores, membership, permitted_name, tpr_name
from fedgen.evidence.audit.neighbours import nearest_neighbours
from fedgen.evidence.verdict import Hypothesis, Undecided, decide, overall
from fedgen.run.evidence_files import Claim
from fedgen.run.row import Finding, Row, Value, Verdict

DELTA = 1e-5


def row(result, id="model-membership"):
    return next(audit for audit in result.rows if audit.id == id)


def value(audit, start):
    return next(v for v in audit.values if v.name.startswith(start))


@pytest.fixture
def audited(make_world, labelled, section, run_audit):
    def run(score, epsilon, *, train=150, held_out=120, sites=1):
        world = make_world(11, train, held_out, 60, sites=sites)
        release = labelled(world.strangers)
        given = score(world) if score else None
        return run_audit(section, world.sites, release, given, epsilon=epsilon, delta=DELTA, seed=0)

    return run


def test_random_scores_pass_and_the_interval_contains_one_half(audited, random_score):
    result = audited(lambda world: random_score(0), None)
    assert row(result).verdict is Verdict.PASS
    found = value(row(result), "AUC (mean")
    assert found.low < 0.5 < found.high


def test_an_overfit_model_fails_without_dp(audited, knowing_score):
    result = audited(lambda world: knowing_score(world.part(Part.TRAIN), 6.0), None)
    assert row(result).verdict is Verdict.FAIL
    assert "tolerance" in row(result).reason


def test_a_model_that_leaks_a_little_is_reviewed(audited, knowing_score):
    result = audited(lambda world: knowing_score(world.part(Part.TRAIN), 0.6), None)
    assert row(result).verdict is Verdict.REVIEW


def test_a_broken_claim_fails_and_a_kept_one_does_not(audited, knowing_score):
    overfit = lambda world: knowing_score(world.part(Part.TRAIN), 6.0)  # noqa: E731
    assert row(audited(overfit, 0.5)).verdict is Verdict.FAIL
    kept = row(audited(overfit, 10.0))
    assert kept.verdict is Verdict.REVIEW
    assert "within the claimed epsilon" in kept.reason


def test_the_claim_is_compared_in_its_replace_one_form(audited, random_score):
    claims = row(audited(lambda world: random_score(0), 1.0)).values
    fixed = next(v.value for v in claims if v.name == "TPR permitted at 1 % FPR")
    coin = next(v.value for v in claims if "coin" in v.name)
    assert fixed == pytest.approx(math.e**2 * 0.01 + (1 + math.e) * DELTA)
    assert coin == pytest.approx(math.e * 0.01 + DELTA)


def test_an_overfit_site_is_found_among_others(audited, knowing_score):
    result = audited(
        lambda world: knowing_score(world.sites[2].part(Part.TRAIN).images, 4.0),
        None,
        train=40,
        held_out=30,
        sites=4,
    )
    assert row(result).verdict in {Verdict.REVIEW, Verdict.FAIL}
    aucs = [site.values[0].value for site in row(result).per_site]
    assert max(range(4), key=aucs.__getitem__) == 2


def test_no_model_is_a_review_and_never_a_pass(audited):
    result = audited(None, None)
    assert row(result).verdict is Verdict.REVIEW
    assert result.verdict is Verdict.REVIEW


def test_members_and_non_members_reach_the_model_in_mixed_chunks(audited):
    """A score that counts calls must not look like membership."""
    calls = []

    def score(data):
        calls.append(data.n_images)
        return torch.full((data.n_images,), float(len(calls)))

    assert row(audited(lambda world: score, None)).verdict is Verdict.PASS
    assert len(calls) > 1


def test_a_shifted_held_out_set_invalidates_membership(
    make_world, labelled, section, random_score, run_audit
):
    world = make_world(12, 60, 40, 60)
    [site] = world.sites
    shift = 0.4 * (site.parts == int(Part.AUDIT)).half()[:, None, None, None]
    shifted = SiteData(site.site, site.classes, site.images + shift, site.labels, site.patients, site.parts)
    result = run_audit(
        section, [shifted], labelled(world.strangers), random_score(0), epsilon=None, delta=DELTA, seed=0
    )
    assert row(result, "blind-baseline").verdict is Verdict.REVIEW
    assert value(row(result, "blind-baseline"), "AUC").low > 0.5
    for id in ("model-membership", "release-membership"):
        assert row(result, id).verdict is Verdict.REVIEW
        assert "invalid" in row(result, id).reason


@pytest.mark.parametrize(("train", "held_out"), [(40, 5), (5, 40), (2, 1), (1, 1)])
def test_too_few_patients_are_insufficient(
    make_world, labelled, section, random_score, train, held_out, run_audit
):
    world = make_world(13, train, held_out, 30)
    result = run_audit(
        section, world.sites, labelled(world.strangers), random_score(0), epsilon=1.0, delta=DELTA, seed=0
    )
    assert result.verdict is Verdict.INSUFFICIENT
    json.loads(result.model_dump_json())


def test_no_held_out_patient_at_all_is_insufficient(make_world, labelled, section, run_audit):
    world = make_world(14, 20, 0, 10)
    result = run_audit(
        section, world.sites, labelled(world.strangers), None, epsilon=None, delta=DELTA, seed=0
    )
    assert result.verdict is Verdict.INSUFFICIENT


def test_a_small_site_counts_in_the_pool_and_is_named(make_world, labelled, section, random_score, run_audit):
    large, small = make_world(15, 40, 30, 40), make_world(16, 6, 3, 0)
    other = SiteData(
        "small", *[getattr(small.sites[0], f) for f in ("classes", "images", "labels", "patients", "parts")]
    )
    result = run_audit(
        section,
        [large.sites[0], other],
        labelled(large.strangers),
        random_score(0),
        epsilon=None,
        delta=DELTA,
        seed=0,
    )
    assert result.n["train_patients"] == 46
    assert any("small" in limit for limit in result.limits)
    assert result.verdict is Verdict.PASS


def test_bad_input_is_refused_in_one_sentence(make_world, labelled, section, run_audit):
    world = make_world(17, 20, 15, 10)
    call = {"epsilon": None, "delta": DELTA, "seed": 0}
    with pytest.raises(DataError, match="no site"):
        run_audit(section, [], labelled(world.strangers), None, **call)
    with pytest.raises(DataError, match="set is empty"):
        run_audit(section, world.sites, labelled(world.strangers[:0]), None, **call)
    with pytest.raises(DataError, match="1 x 16 x 32 but those"):
        run_audit(section, world.sites, labelled(world.strangers[:, :, :16]), None, **call)
    nan = lambda data: torch.full((data.n_images,), torch.nan)  # noqa: E731
    with pytest.raises(DataError, match="finite"):
        run_audit(section, world.sites, labelled(world.strangers), nan, **call)


def test_same_seed_same_result(make_world, labelled, section, random_score, run_audit):
    world = make_world(18, 30, 20, 40)
    results = [
        run_audit(
            section, world.sites, labelled(world.strangers), random_score(0), epsilon=2.0, delta=DELTA, seed=4
        )
        for _ in range(2)
    ]
    assert results[0] == results[1]
    assert results[0].claim == Claim(epsilon=2.0, delta=DELTA)
    assert [audit.id for audit in results[0].rows] == [
        "copy-detection", "data-copying", "blind-baseline", "model-membership", "release-membership",
        "dataset-inference", "monte-carlo", "density-ratio", "authenticity", "likelihood-gap",
    ]  # fmt: skip
    for audit in results[0].rows:
        assert audit.group == "audit" and audit.about and audit.reason and audit.verdict


def test_neighbours_are_the_nearest(make_world, labelled):
    world = make_world(19, 20, 15, 30, sites=2)
    target = world.sites[1].part(Part.TRAIN).images[3:4].float()
    release = labelled(torch.cat([world.strangers, target]))
    found = nearest_neighbours(release, world.sites, 4)
    assert found.index[0] == 30
    assert torch.equal(found.train[0], target[0])
    assert found.train_site[0] == "site1"
    assert found.train_distance[0] < 1e-2 < found.held_out_distance[0]
    assert (found.train_distance.diff() >= 0).all()
    assert found.synthetic.shape == found.held_out.shape == (4, 1, 32, 32)


def evidence(*p_values, findings=()):
    tests = tuple(Hypothesis(p, Verdict.FAIL, "It leaks") for p in p_values)
    found = tuple(Finding(verdict=verdict, sentence=sentence) for verdict, sentence in findings)
    return Undecided(Row(id="x", title="X", group="audit", findings=found), "Calm.", tests)


def test_gate_corrects_over_all_audits():
    alone = decide([evidence(0.02)], 0.05)
    among = decide([evidence(0.02), evidence(0.5, 0.5)], 0.05)
    assert [a.verdict for a in alone] == [Verdict.FAIL]
    assert [a.verdict for a in among] == [Verdict.PASS, Verdict.PASS]
    assert among[0].reason == "Calm."


def test_gate_takes_the_worst():
    found = [
        evidence(),
        evidence(findings=((Verdict.REVIEW, "Look."),)),
        evidence(findings=((Verdict.INSUFFICIENT, "Few."),)),
    ]
    assert overall(decide(found, 0.05)) == (Verdict.INSUFFICIENT, ("X: Few.", "X: Look."))
    assert overall(decide([evidence(1e-9), *found], 0.05))[0] is Verdict.FAIL
    assert overall(decide([evidence()], 0.05))[0] is Verdict.PASS


def test_a_row_that_hangs_on_no_test_stays_as_it_is_and_does_not_weaken_the_others():
    plain = Row(id="y", title="Y", group="other", values=(Value(name="a", value=1),))
    assert decide([plain, evidence(0.04)], 0.05) == (plain, *decide([evidence(0.04)], 0.05))
    assert overall(decide([plain], 0.05))[0] is Verdict.PASS


def test_the_blind_baseline_keeps_its_level(make_world):
    """40 worlds without a difference; more than 6 alarms at 0.025 have probability 1e-4."""
    alarms = sum(
        blind_baseline(cohorts(make_world(300 + seed, 30, 20, 0).sites), 0.05, 10, 100, seed)[1] is not None
        for seed in range(40)
    )
    assert alarms <= 6


def test_each_attack_is_a_row_and_only_the_one_that_leaks_is_flagged(audited, knowing_score, random_score):
    result = audited(
        lambda world: {
            "loss": random_score(0),
            "steps": knowing_score(world.part(Part.TRAIN), 6.0),
            "other": random_score(1),
        },
        None,
    )
    assert row(result).verdict is Verdict.PASS
    assert row(result, "model-membership-steps").verdict is Verdict.FAIL
    assert row(result, "model-membership-other").verdict is Verdict.PASS
    assert "SecMI" in row(result, "model-membership-steps").about
    assert result.verdict is Verdict.FAIL


def test_several_signs_of_an_attack_are_judged_by_their_mean(audited, knowing_score):
    def two(world):
        knowing = knowing_score(world.part(Part.TRAIN), 6.0)
        return lambda data: torch.stack([knowing(data), torch.zeros(data.n_images)], dim=1)

    alone = audited(lambda world: knowing_score(world.part(Part.TRAIN), 6.0), None)
    both = audited(two, None)
    assert value(row(both), "AUC (mean").value == value(row(alone), "AUC (mean").value
    assert row(both).verdict is Verdict.FAIL


def test_the_curve_is_that_of_scikit_learn():
    """Held-out patients by far the larger side, so that the smallest rate is given as well."""
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(0.7, 1, 300), rng.normal(0, 1, 1200)
    scores = Scores("a", inside, np.arange(300), outside, np.arange(300, 1500))
    found = judged(scores, None).row
    fpr, tpr, _ = roc_curve(
        np.repeat([1, 0], [300, 1200]), np.concatenate([inside, outside]), drop_intermediate=False
    )
    for rate in RATES:
        point = found.get(tpr_name(rate))
        expected = tpr[fpr <= rate + 1e-12].max()
        assert point.value == pytest.approx(expected)
        exact = binomtest(round(expected * 300), 300).proportion_ci(0.95, method="exact")
        assert (point.low, point.high) == pytest.approx((exact.low, exact.high))
        assert found.get(permitted_name(rate)).value == min(1.0, 5 * rate)
    assert len(found.values) <= 32


def test_one_in_a_thousand_is_not_given_with_fewer_patients(audited, random_score):
    found = row(audited(lambda world: random_score(0), 1.0))
    point = found.get("TPR at 0.1 % FPR")
    assert point.value is None and "needs 1000 held-out patients" in point.note
    assert found.get("TPR at 1 % FPR").value is not None


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_what_is_permitted_is_the_claim_for_a_split_of_fixed_size(epsilon):
    rng = np.random.default_rng(1)
    scores = Scores("a", rng.normal(size=40), np.arange(40), rng.normal(size=40), np.arange(40, 80))
    found = judged(scores, epsilon).row
    for rate in RATES:
        growth, delta = math.exp(2 * epsilon), (1 + math.exp(epsilon)) * DELTA
        expected = min(1, growth * rate + delta, 1 - (1 - delta - rate) / growth)
        assert found.get(permitted_name(rate)).value == pytest.approx(expected)
    assert found.get("AUC permitted").value == pytest.approx(growth / (1 + growth), abs=1e-3)


def judged(scores, epsilon):
    rules = Rules(0.05, 10, 5.0, 100, epsilon, DELTA, 0)
    return membership("x", "X", "About.", [scores], rules, invalid=None)
