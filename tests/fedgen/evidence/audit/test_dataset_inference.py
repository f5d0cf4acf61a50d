"""Whether a site's patients, taken together, were in the training: weak signs of many, and no sign at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binom

from fedgen.data.site_data import Part, SiteData
from fedgen.evidence.audit.dataset_inference import SMALL, infer
from fedgen.run.row import Verdict

DELTA = 1e-5


def weak(rng: np.random.Generator, patients: int, signs: int, shift: float) -> np.ndarray:
    return rng.normal(shift, 1, (patients, signs))


def test_signs_too_weak_for_one_patient_tell_of_all_together() -> None:
    rng = np.random.default_rng(0)
    found = infer(weak(rng, 120, 16, 0.25), weak(rng, 80, 16, 0.0), 100, 0)
    assert found.p < 2e-3 and found.d > 0.4
    # Of d weak signs of equal strength the best weighing has an effect of shift * sqrt(d).
    assert found.d < 0.25 * 16**0.5 + 3 * (1 / 120 + 1 / 80) ** 0.5


def test_signs_of_nobody_keep_the_level() -> None:
    """30 groups without a difference: more alarms have probability 1e-3."""
    alarms = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        alarms += infer(weak(rng, 20, 8, 0.0), weak(rng, 15, 8, 0.0), 100, seed).p <= 0.05
    assert alarms <= binom.ppf(1 - 1e-3, 30, 0.05)


def test_p_falls_below_what_the_study_permutes_where_patients_are_few() -> None:
    rng = np.random.default_rng(1)
    found = infer(weak(rng, 20, 2, 3.0), weak(rng, 15, 2, 0.0), 100, 0)
    assert found.p == pytest.approx(1 / 1_001)


@pytest.fixture
def audited(make_world, labelled, section, run_audit):
    def run(score, *, sites=2, shift=0.0):
        world = make_world(11, 60, 50, 60, sites=sites)
        if shift:
            moved = [
                SiteData(
                    s.site,
                    s.classes,
                    s.images + shift * (s.parts == int(Part.AUDIT)).half()[:, None, None, None],
                    s.labels,
                    s.patients,
                    s.parts,
                )
                for s in world.sites
            ]
        else:
            moved = world.sites
        result = run_audit(
            section, moved, labelled(world.strangers), score(world), epsilon=None, delta=DELTA, seed=0
        )
        return next((row for row in result.rows if row.id == "dataset-inference"), None)

    return run


def many(known, advantage: float, signs: int):
    """A model that knows a little of the images in many ways."""
    seen = {image.half().numpy().tobytes() for image in known}
    rng = torch.Generator().manual_seed(0)

    def score(data: SiteData) -> torch.Tensor:
        inside = torch.tensor([image.half().numpy().tobytes() in seen for image in data.images])
        return torch.randn(data.n_images, signs, generator=rng) + advantage * inside[:, None]

    return score


def test_a_site_whose_patients_were_there_is_reviewed_and_the_other_is_not(audited) -> None:
    found = audited(lambda world: many(world.sites[1].part(Part.TRAIN).images, 0.5, 12))
    assert found.verdict is Verdict.REVIEW
    other, used = (part.get("effect (Cohen's d)").value for part in found.per_site)
    assert used > 1 > SMALL + 0.3 > abs(other)
    assert "p" not in found.n and found.n == {"train_patients": 120, "held_out_patients": 100}


def test_no_model_no_row_and_random_signs_pass(audited, random_score) -> None:
    assert audited(lambda world: None) is None
    assert audited(lambda world: random_score(0)).verdict is Verdict.PASS


def test_the_blind_baseline_makes_it_invalid(audited, random_score) -> None:
    found = audited(lambda world: random_score(0), shift=0.4)
    assert found.verdict is Verdict.REVIEW and "invalid" in found.reason
