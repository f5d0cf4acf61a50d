"""The forecast is the training's own plan, seen beforehand."""

from __future__ import annotations

import json

import pytest

from fedgen.data.index import IndexEntry, PatientIndex
from fedgen.data.site_data import Part
from fedgen.data.split import split_patients
from fedgen.errors import DataError, PrivacyRefusedError, StudyError
from fedgen.planning.forecast import epsilon_by_round, forecast
from fedgen.planning.patients import training_patients
from fedgen.planning.words import about, sentences, to_json
from fedgen.recipe import Recipe
from fedgen.study.load import load_study
from fedgen_privacy.accounting import Spend, epsilon_prv, epsilon_rdp


def test_every_size_has_the_trainings_own_plan(tiny_study) -> None:
    study = tiny_study()
    found = forecast(study, (12, 9, 12))
    assert found.sites == 3
    assert [(size.plan.patients, size.sites) for size in found.sizes] == [(12, 2), (9, 1)]
    for size in found.sizes:
        own = Recipe.of(study).mechanism.plan(size.plan.patients, "north")
        assert size.plan == own
        assert size.epsilon_by_round[-1] == own.epsilon
        assert size.signals[0].all_sites == pytest.approx(size.signals[0].all_steps * 3**0.5)


def test_epsilon_by_round_is_never_below_the_accountant(tiny_study) -> None:
    study = tiny_study(training={"rounds": 6}, privacy={"epsilon": 4.0})
    plan = Recipe.of(study).mechanism.plan(15, "north")
    curve = epsilon_by_round(Recipe.of(study), plan)
    assert len(curve) == 6
    assert list(curve) == sorted(curve)
    assert curve[0] == min(epsilon_rdp([plan.spend], study.privacy.delta), plan.epsilon)
    for rounds, epsilon in enumerate(curve, 1):
        spend = Spend(plan.spend.noise_multiplier, plan.spend.sampling_rate, rounds * plan.spend.steps)
        # PRV is an upper bound too, so RDP may dip below it by its numerical slack at most.
        assert epsilon >= epsilon_prv([spend], study.privacy.delta) / 1.01
        assert epsilon <= plan.epsilon <= study.privacy.epsilon


@pytest.mark.slow
def test_what_is_needed_is_found_to_be_enough_when_planned_anew(tiny_study) -> None:
    study = tiny_study(training={"rounds": 30, "local_steps": 40}, privacy={"epsilon": 10.0})
    (before,) = forecast(study, (30, 30)).sizes
    assert not before.reached
    cohort = before.cohort
    more = tiny_study(
        training={"rounds": 30, "local_steps": 40, "batch_patients": cohort.batch},
        privacy={"epsilon": 10.0, "delta": cohort.delta},
    )
    (after,) = forecast(more, (cohort.patients, cohort.patients)).sizes
    least, target = after.signals[0].all_sites, forecast(study, (30, 30)).reference.signal.all_sites
    assert least == pytest.approx(target, rel=0.06)


def test_a_study_that_reaches_the_reference_needs_nothing(tiny_study) -> None:
    study = tiny_study(training={"rounds": 50, "local_steps": 40, "batch_patients": 4000})
    found = forecast(
        study.model_copy(update={"privacy": study.privacy.model_copy(update={"delta": 1e-5})}), (50_000,)
    )
    (size,) = found.sizes
    assert size.reached
    assert (size.batch, size.cohort.patients) == (4000, 50_000)
    assert "noise alone need not stand in the way" in " ".join(sentences(found))


def test_refusals_are_those_of_the_site(tiny_study) -> None:
    with pytest.raises(StudyError, match=r"privacy.mode is none, so there is no noise"):
        forecast(tiny_study(privacy={"mode": "none"}), (9,))
    with pytest.raises(PrivacyRefusedError, match="site 2 has 200 training patients"):
        forecast(tiny_study(privacy={"delta": 0.01}), (50, 200))
    with pytest.raises(DataError, match="Site 1 has 2 training patients"):
        forecast(tiny_study(), (2,))


def test_patients_are_those_given_or_the_phantoms(tiny_study) -> None:
    demo = load_study("demo")
    assert training_patients(demo, ()) == (52, 52, 52, 52)
    assert training_patients(demo, (7, 5)) == (7, 5)
    with pytest.raises(StudyError, match="--patients 45 --patients 12"):
        training_patients(tiny_study(), ())


@pytest.mark.parametrize("patients", [12, 40, 41, 80, 123])
def test_a_phantom_hospital_is_dealt_that_many_patients(patients) -> None:
    study = load_study("demo", [f"data.phantom.patients={patients}", "data.phantom.sites=1"])
    entries = tuple(
        IndexEntry(
            (f"{p}.dcm",), f"p{p}", "n", ("none", "lesion")[p % 2], None, "MR", "T1w", "", None, "", None, (96, 96)
        )
        for p in range(patients)
    )  # fmt: skip
    parts = split_patients(PatientIndex("dicom", entries), study.data.split, study.study.seed)
    (expected,) = training_patients(study, ())
    assert abs(list(parts.values()).count(Part.TRAIN) - expected) <= 1


def test_sentences_say_what_would_help_and_what_is_missing(tiny_study) -> None:
    found = forecast(tiny_study(aggregation={"minimum_sites": 3}), (9, 9))
    text = sentences(found)
    assert "upper bound and no forecast of quality" in text[0]
    assert "No published threshold" in text[1]
    assert "With 9 training patients, 2 such sites reach at most" in text[2]
    assert "no batch reaches it" in text[2]
    assert "2 of the 3 sites that aggregation.minimum_sites asks for" in text[3]
    (one, *_) = [line for line in sentences(forecast(tiny_study(), (9,))) if line.startswith("With 9")]
    assert "this one site reaches at most" in one


def test_json_is_json(tiny_study) -> None:
    found = to_json(forecast(tiny_study(), (9, 12)))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [size["patients"] for size in found["sizes"]] == [9, 12]


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1"), (52, "52"), (101, "110"), (5746, "5 800"), (12_000, "12 000")]
)
def test_numbers_are_rounded_up(number, text) -> None:
    assert about(number) == text


@pytest.mark.slow
def test_the_plan_says_what_part_of_epsilon_pays_for_evidence(tiny_study) -> None:
    """Both parts are of the calibrated whole, which the evidence leaves less to the training."""
    study = tiny_study(privacy={"epsilon": 4.0}, evidence={"privacy": {"epsilon": 1.5}})
    found, free = forecast(study, (12, 9)), forecast(tiny_study(privacy={"epsilon": 4.0}), (12, 9))
    assert found.evidence is not None and free.evidence is None
    assert 1.4 < found.evidence.epsilon <= 1.5
    for size, without in zip(found.sizes, free.sizes, strict=True):
        assert (
            size.plan.spend is not None and without.plan.spend is not None and size.plan.epsilon is not None
        )
        assert size.plan.spend.noise_multiplier > without.plan.spend.noise_multiplier
        assert found.evidence.epsilon_training < size.plan.epsilon <= 4.0
        whole = [*Recipe.of(study).mechanism.turns.history(size.plan.spend)]
        assert whole[-1] == Spend(found.evidence.noise_multiplier, 1.0, 1)
        assert epsilon_prv(whole, study.privacy.delta) == pytest.approx(size.plan.epsilon)
    assert any("noised audit and evaluation take a part" in line for line in sentences(found))
    assert to_json(found)["evidence"]["epsilon"] == found.evidence.epsilon
