"""Images to patients, and the correction for many tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen_privacy.statistics.multiplicity import holm, worse_of
from fedgen_privacy.statistics.patients import one_image_each, per_patient


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 6)), min_size=1, max_size=30))
def test_one_value_a_patient(pairs):
    values, patients = np.array([v for v, _ in pairs]), np.array([p for _, p in pairs])
    for how, reference in (("mean", np.mean), ("max", np.max)):
        expected = [reference(values[patients == p]) for p in sorted(set(patients))]
        np.testing.assert_allclose(per_patient(values, patients, how), expected, atol=1e-12)


def test_one_image_each_is_of_the_patient_and_uniform():
    patients = np.array([7, 3, 7, 7, 3])
    drawn = np.array([one_image_each(patients, np.random.default_rng(s)) for s in range(600)])
    assert (patients[drawn] == [3, 7]).all()
    np.testing.assert_allclose(np.bincount(drawn[:, 1], minlength=5)[[0, 2, 3]], 200, atol=50)


@pytest.mark.parametrize("values", [np.ones(2), np.ones((3, 1)), np.ones(0)])
def test_shapes_that_do_not_fit_are_refused(values):
    with pytest.raises(ValueError):
        per_patient(values, np.zeros(3 if values.size else 0, int), "mean")


def test_holm_by_hand():
    # sorted .005 .01 .03 .04 -> .02 .03 .06 .06 (the last is raised to the one before)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_raw_and_bonferroni_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        assert p <= q <= min(1, len(p_values) * p) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all() if p_values else adjusted == ()


def test_worse_of_two_is_doubled():
    assert worse_of(0.02, 0.5) == 0.04
    assert worse_of(0.7, 0.9) == 1.0


def test_p_values_outside_the_unit_interval_are_refused():
    with pytest.raises(ValueError):
        holm([0.5, float("nan")])
