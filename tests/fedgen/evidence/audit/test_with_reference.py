"""Attacks that know what is usual of an image: they see a leak that difficulty hides, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binom
from sklearn.linear_model import QuantileRegressor

from fedgen.data.site_data import Part
from fedgen.evidence.audit.attacks import asked
from fedgen.evidence.audit.quantile_regression import QuantileRegression, against_usual, beyond
from fedgen.evidence.audit.reference_models import ReferenceModels
from fedgen.evidence.audit.references import pair_of
from fedgen.evidence.measure import AuditedModel, Real
from fedgen.evidence.open_model import OpenModel
from fedgen.evidence.verdict import decide
from fedgen.families.contract import statistics_of
from fedgen.mechanisms.schedule import Query
from fedgen.mechanisms.statistics import advanced, mean_of_site
from fedgen.recipe import Recipe
from fedgen.run.row import Verdict
from fedgen.study.audit_section import AuditSection
from fedgen.study.study import Study
from fedgen.training.local import LocalPlan
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.statistics.auc import above_chance, auc

DELTA = 1e-5


def hard(site, advantage: float, seed: int = 0):
    """A score that is mostly how bright an image is, and a little whether it was in the training."""
    rng = torch.Generator().manual_seed(seed)
    inside = {image.numpy().tobytes() for image in site.part(Part.TRAIN).images}

    def score(data):
        member = torch.tensor([image.numpy().tobytes() in inside for image in data.images])
        bright = data.images.float().mean(dim=(1, 2, 3))
        return 60 * bright + advantage * member + 0.3 * torch.randn(data.n_images, generator=rng)

    return score


def areas(site, score, seed=0):
    (signs,) = asked(Real([site]), score, seed)
    plain, usual = signs.scores(), against_usual(signs, seed)
    return auc(*plain.by_patient("mean")), auc(*usual.by_patient("mean")), usual


def test_a_leak_that_brightness_hides_is_found_beside_what_is_usual(make_world) -> None:
    [site] = make_world(11, 100, 80, 0).sites
    plain, usual, scores = areas(site, hard(site, 1.0))
    assert plain < 0.7 < 0.85 < usual
    assert len(np.unique(scores.held_out_patients)) == 40
    assert len(np.unique(scores.train_patients)) == 100


def test_what_is_usual_is_learned_of_calibration_patients_alone() -> None:
    """Changing every other score moves no one's foreseen score; the regressions are scikit-learn's own."""
    rng = np.random.default_rng(0)
    features, scores = rng.normal(size=(60, 1)), rng.normal(size=60)
    calibrate = np.arange(60) < 40
    first = beyond(features, scores, calibrate)
    other = beyond(features, np.where(calibrate, scores, scores + 5.0), calibrate)
    assert np.array_equal(first[:40], other[:40])
    assert np.allclose(np.diff(other[40:] - first[40:]), np.diff(5 / _spread(first, features, scores)[40:]))


def _spread(first, features, scores):
    scale = np.ptp(np.quantile(scores[:40], [0.1, 0.9]))
    x = (features - features[:40].mean()) / features[:40].std()
    middle, tail = (
        QuantileRegressor(quantile=q, alpha=1e-3).fit(x[:40], scores[:40] / scale).predict(x)
        for q in (0.5, 0.9)
    )
    spread = np.maximum(tail - middle, 0.25)
    assert np.allclose(first, (scores / scale - middle) / spread, atol=1e-6)
    return spread * scale


def test_without_a_leak_the_level_is_kept(make_world) -> None:
    alarms = 0
    for seed in range(25):
        [site] = make_world(500 + seed, 30, 30, 0).sites
        *_, scores = areas(site, hard(site, 0.0, seed), seed)
        alarms += above_chance(*scores.by_patient("mean")) <= 0.05
    assert alarms <= binom.ppf(1 - 1e-3, 25, 0.05)


def test_a_quantile_row_is_there_where_it_is_asked_for(make_world, labelled) -> None:
    world = make_world(11, 60, 60, 5)
    model = AuditedModel({"loss": hard(world.sites[0], 1.5)}, None, DELTA)
    arguments = (Real(world.sites), labelled(world.strangers), model, 0)
    assert not list(QuantileRegression(AuditSection(bootstrap=100)).measure(*arguments))
    asked_for = AuditSection(bootstrap=100, quantile_regression=True)
    (row,) = decide(QuantileRegression(asked_for).measure(*arguments), 0.05)
    assert row.verdict in {Verdict.REVIEW, Verdict.FAIL}
    assert row.n == {"train_patients": 60, "held_out_patients": 30}


@pytest.fixture
def trained(make_world):
    """A model of one private sum without noise, and the site it is of."""

    def make(seed: int, **audit):
        world = make_world(seed, 24, 24, 5, images=1)
        [site] = world.sites
        study = Study.model_validate(
            {
                "study": {"name": "t"},
                "data": {"labels": ["a"], "image_size": [32, 32]},
                "model": {"family": "latent", "latent": {"latent_size": 12, "moment_weight": 0.65}},
                "privacy": {"mode": "none"},
                "aggregation": {"secure": False, "minimum_sites": 1},
                "training": {"batch_patients": 8},
                "audit": {"bootstrap": 100, **audit},
            }
        )
        recipe = Recipe.of(study)
        networks = recipe.networks(recipe.initial)
        (statistic,) = statistics_of(recipe.family)
        plan = LocalPlan(1, 8, 1.0, 1, 1, 8, "cpu", None)
        mean = mean_of_site(Query(statistic), networks, TrainingPatients(site, 1), plan, None, SecretRandom())
        model = OpenModel(recipe, advanced(Query(statistic), networks, mean, 0.0), "cpu")
        return site, AuditedModel(model.attacks(), None, DELTA, model), world

    return make


def test_references_share_a_sites_patients_and_have_not_seen_the_others(trained) -> None:
    site, model, _ = trained(11)
    first, second = pair_of(model.inside, site, 0, 0)
    assert not first.unseen & second.unseen
    assert first.unseen | second.unseen == set(range(48))
    for part in (Part.TRAIN, Part.AUDIT):
        members = set(site.patients[site.parts == int(part)].tolist())
        assert len(members & first.unseen) == len(members & second.unseen) == 12
    again = pair_of(model.inside, site, 0, 0)[0]
    means = [each.model.networks["latent"].means for each in (first, second, again)]
    assert torch.equal(means[0], means[2]) and not torch.equal(means[0], means[1])
    # Trained on whom it has seen: it knows them better than the others.
    score = first.model.attacks()["loss"](site)
    unseen = torch.isin(site.patients, torch.tensor(sorted(first.unseen)))
    assert score[~unseen].mean() > score[unseen].mean()


def test_reference_models_find_who_is_in_the_sum(trained, labelled) -> None:
    found = []
    for seed in (11, 12):
        site, model, world = trained(seed, reference_models=2)
        arguments = (Real([site]), labelled(world.strangers), model, 0)
        options = AuditSection(bootstrap=100, reference_models=2)
        assert not list(ReferenceModels(AuditSection()).measure(*arguments))
        (row,) = decide(ReferenceModels(options).measure(*arguments), 0.05)
        found.append(row.values[0].value)
        assert row.verdict in {Verdict.REVIEW, Verdict.FAIL}
    assert min(found) > 0.8
