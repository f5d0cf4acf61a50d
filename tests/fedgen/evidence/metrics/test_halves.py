"""Values beside their floor: what the spread over half-samples is, and that halves share no patient."""

from __future__ import annotations

import numpy as np
import pytest

from fedgen.evidence.metrics.halves import Beside, beside_floor, patient_halves


def test_halves_never_share_a_patient() -> None:
    patients = np.arange(31) // 3
    splits = patient_halves(patients, splits=4, seed=0)
    for a, b in splits:
        assert not set(patients[a]) & set(patients[b])
        assert sorted([*a, *b]) == list(range(31))
    assert len({tuple(a) for a, _ in splits}) > 1


def test_the_spread_over_half_samples_is_the_standard_error_of_all_patients() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=400), np.zeros(400)])
    halves = patient_halves(np.arange(400), splits=200, seed=1)
    found = beside_floor(
        lambda i, j: {"mean": float(values[i].mean() - values[j].mean())},
        halves,
        np.arange(400, 800),
        seed=0,
    )["mean"]
    assert found.value == pytest.approx(values[:400].mean(), abs=1e-9)
    assert found.std == pytest.approx(values[:400].std(ddof=1) / 20, rel=0.1)
    assert found.n == 200 and abs(found.floor) < 0.03


def test_both_sides_are_as_large_and_a_number_that_is_not_finite_is_left_out() -> None:
    sizes = set()

    def compare(i: np.ndarray, j: np.ndarray) -> dict[str, float]:
        sizes.add((len(i), len(j)))
        return {"one": 1.0, "none": float("nan")}

    found = beside_floor(compare, patient_halves(np.arange(21), splits=3, seed=0), np.arange(30, 37), seed=0)
    assert sizes == {(7, 7)} and set(found) == {"one"}


@pytest.mark.parametrize(
    ("value", "std", "better", "beyond"),
    [
        (3.0, 0.5, "lower", True),
        (3.0, 1.0, "lower", False),
        (1.0, 0.1, "lower", False),
        (0.2, 0.1, "higher", True),
        (0.9, 0.1, "higher", False),
        (3.0, 0.5, "half", True),
        (0.2, 0.1, "half", False),
    ],
)
def test_beyond_is_surely_worse_than_real_images_are(
    value: float, std: float, better: str, beyond: bool
) -> None:
    assert Beside(value, std, 1.0, 0.2, 10).beyond(better) is beyond
