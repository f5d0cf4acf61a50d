"""The product's audits of families of statistics: what is as good as not private is found, what is private passes."""

from __future__ import annotations

import hashlib

import pytest
import torch

from fedgen.families.contract import statistics_of
from fedgen.families.registry import family_class, specs
from fedgen.mechanisms.schedule import Query
from fedgen.mechanisms.statistics import advanced, mean_of_site
from fedgen.priors.fit import fit
from fedgen.run.row import Verdict
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import image_of_class
from fedgen.training.local import LocalPlan
from fedgen.training.task_records import one_record_each, task_of
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.accounting import calibrate_noise
from fedgen_privacy.random import SecretRandom

DELTA, PATIENTS, HELD_OUT, STRANGERS = 1e-3, 20, 20, 100
#: Options with which the attack has power: more numbers than patients.
POWER = {
    "latent": {"latent_size": 32, "moment_weight": 0.65},
    "candidates": {"latent_size": 32, "moment_weight": 0.65},
}
SUMS = [name for name, spec in specs().items() if spec.sums]


def released(name: str, world, epsilon: float, seed: int):
    """Family and networks after the family's sums over a site's patients, and 60 images of them."""
    spec = specs()[name]
    options = spec.options(**POWER[name]) if name in POWER else spec.small
    family = family_class(name)(image_of_class(ImageSpec(channels=1, size=(32, 32)), ("a",)), options)
    if spec.prior:
        # Of strangers, who are public.
        prior, _ = fit(world.strangers.numpy(), options.latent_size, len(world.strangers))
        family = family.on(prior)
    networks, statistics = family.networks(), statistics_of(family)
    cohort = TrainingPatients(world.sites[0], 3)
    sigma = calibrate_noise(epsilon=epsilon, delta=DELTA, sampling_rate=1.0, steps=len(statistics))
    plan = LocalPlan(
        steps=1, batch=8, sampling_rate=1.0, images=3, multiplicity=1, chunk=8, device="cpu", mechanism=None
    )
    random = SecretRandom(hashlib.sha256(f"{name}/{seed}".encode()).digest())
    for statistic in statistics:
        query = Query(statistic)
        mean = mean_of_site(query, networks, cohort, plan, sigma, random)
        networks = advanced(query, networks, mean, sigma / cohort.n_patients)
    images = family.sample(networks, {"class": torch.zeros(60, dtype=torch.int64)}, 60, random.generator())
    return family, networks, images


@pytest.fixture
def audited(make_world, labelled, section, run_audit):
    """`audited(name, epsilon, seed)`: rows of the audit of a release of that epsilon, by id."""

    def audit(name, epsilon, seed=0):
        world = make_world(seed, PATIENTS, HELD_OUT, STRANGERS)
        family, networks, images = released(name, world, epsilon, seed)

        def score(data):
            return family.score(networks, one_record_each(task_of(data), data), torch.Generator())

        found = run_audit(section, world.sites, labelled(images), score, epsilon=epsilon, delta=DELTA, seed=0)
        return {row.id: row for row in found.rows}

    return audit


def area(row):
    return max(value.value for value in row.values if value.name.startswith("AUC ("))


@pytest.mark.parametrize("name", POWER)
def test_twenty_patients_at_epsilon_ten_thousand_are_found(audited, name) -> None:
    row = audited(name, 1e4)["model-membership"]
    assert row.verdict is Verdict.REVIEW and area(row) > 0.9
    assert "score higher than held-out patients" in row.reason


@pytest.mark.parametrize("name", SUMS)
def test_private_sums_pass_the_audits_of_membership_and_of_copies(audited, name) -> None:
    rows = [audited(name, 1.0, seed) for seed in range(3)]
    for ids in ("model-membership", "release-membership", "copy-detection"):
        assert Verdict.FAIL not in [row[ids].verdict for row in rows]
    assert sum(row["model-membership"].verdict is Verdict.PASS for row in rows) >= 2
    assert max(area(row["model-membership"]) for row in rows) < 0.85
