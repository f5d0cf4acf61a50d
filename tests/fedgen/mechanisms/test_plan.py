"""What a study costs a site is known, and refused, before anything is spent."""

from __future__ import annotations

import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant

from fedgen.errors import DataError, PrivacyRefusedError
from fedgen.families.contract import objectives_of
from fedgen.recipe import Recipe


def plan(study, patients):
    return Recipe.of(study).mechanism.plan(patients, "north")


def test_a_private_plan(tiny_study) -> None:
    study = tiny_study(
        training={"rounds": 4, "local_steps": 5, "batch_patients": 6}, privacy={"epsilon": 3.0}
    )
    site = plan(study, 40)
    assert site.patients == 40
    assert site.weight == 40
    assert site.local.sampling_rate == 6 / 40
    assert (site.local.steps, site.local.batch, site.local.images) == (5, 6, 2)
    assert site.spend.steps == 5
    assert site.spend.sampling_rate == site.local.sampling_rate
    assert site.spend.noise_multiplier == site.local.mechanism.noise_multiplier
    assert site.local.mechanism.clipping_norm == study.privacy.clipping_norm
    assert 0.95 * 3.0 < site.epsilon <= 3.0
    # RDP is looser, but of the same mechanism
    assert site.epsilon <= site.epsilon_rdp < 2 * site.epsilon


def test_the_epsilon_agrees_with_another_accountant(tiny_study) -> None:
    study = tiny_study(training={"rounds": 6, "local_steps": 5}, privacy={"epsilon": 2.0})
    site = plan(study, 30)
    step = PoissonSampledDpEvent(3 / 30, GaussianDpEvent(site.spend.noise_multiplier))
    other = PLDAccountant().compose(SelfComposedDpEvent(step, 6 * 5)).get_epsilon(study.privacy.delta)
    # The PRV number is an upper bound whose own numerical slack is a share of epsilon.
    assert other <= site.epsilon * 1.005
    assert other == pytest.approx(site.epsilon, rel=0.03)


def test_only_steps_on_data_cost(tiny_study, monkeypatch) -> None:
    monkeypatch.setattr("fedgen.mechanisms.schedule.calibrate_noise", lambda **_: 2.0)
    study = tiny_study("gan", training={"local_steps": 4})
    discriminator, generator = objectives_of(Recipe.of(study).family)
    assert (discriminator.touches_data, generator.touches_data) == (True, False)
    assert plan(study, 9).spend.steps == 4


def test_a_study_without_privacy_spends_nothing(tiny_study) -> None:
    site = plan(tiny_study(privacy={"mode": "none"}), 9)
    assert (site.spend, site.epsilon, site.epsilon_rdp, site.local.mechanism) == (None, None, None, None)


def test_uniform_weighting(tiny_study) -> None:
    assert plan(tiny_study(privacy={"mode": "none"}, aggregation={"weighting": "uniform"}), 9).weight == 1


@pytest.mark.parametrize(("patients", "delta"), [(100, 0.01), (101, 0.01), (4, 0.25)])
def test_a_delta_of_one_patient_is_refused_by_name(tiny_study, patients, delta) -> None:
    study = tiny_study(privacy={"delta": delta})
    with pytest.raises(PrivacyRefusedError) as refused:
        Recipe.of(study).mechanism.admit(patients, "north")
    sentence = str(refused.value)
    assert f"privacy.delta is {delta:g} but site north has {patients} training patients" in sentence
    assert "permits publishing a whole patient" in sentence
    assert "privacy.allow_large_delta" in sentence
    assert "\n" not in sentence


def test_a_delta_just_below_is_not(tiny_study) -> None:
    Recipe.of(tiny_study(privacy={"delta": 0.01})).mechanism.admit(99, "north")


def test_a_large_delta_can_be_allowed_by_name(tiny_study) -> None:
    study = tiny_study(privacy={"delta": 0.2, "allow_large_delta": True})
    Recipe.of(study).mechanism.admit(9, "north")


def test_delta_means_nothing_without_privacy(tiny_study) -> None:
    Recipe.of(tiny_study(privacy={"mode": "none", "delta": 0.9})).mechanism.admit(9, "north")


@pytest.mark.parametrize("patients", [0, 1, 2])
def test_fewer_patients_than_a_batch_are_refused(tiny_study, patients) -> None:
    with pytest.raises(
        DataError, match=r"Site north has \d training patients but training.batch_patients"
    ) as no:
        Recipe.of(tiny_study()).mechanism.admit(patients, "north")
    assert f"to {max(patients, 1)} or less" in str(no.value)


def test_as_many_patients_as_a_batch_are_enough(tiny_study) -> None:
    assert plan(tiny_study(), 3).local.sampling_rate == 1


def test_an_epsilon_no_noise_reaches_is_refused(tiny_study) -> None:
    with pytest.raises(PrivacyRefusedError):
        plan(tiny_study(privacy={"epsilon": 1e-7}), 9)
