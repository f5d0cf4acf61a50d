"""The ratio is what it is said to be: an upper bound of norms, checked by sampling and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen.families.contract import objectives_of
from fedgen.families.registry import specs
from fedgen.planning.published import reference
from fedgen.planning.signal import private_parameters, required_batch_over_sigma, signal, signals
from fedgen.recipe import Recipe
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import image_of_class

BATCHES = st.floats(1, 1e4)
SIGMAS = st.floats(0.1, 100)
COUNTS = st.integers(1, 10_000)


def test_the_ratio_of_sampled_sums_never_exceeds_the_bound() -> None:
    rng = np.random.default_rng(0)
    B, sigma, C, P, T, n = 20, 1.7, 0.3, 400, 9, 4

    def ratio(aligned: bool) -> float:
        """Norm of the mean of T n sums of B clipped gradients, over that of the mean of as many noises."""
        direction = rng.normal(size=P)
        gradients = np.tile(direction, (T * n, B, 1)) if aligned else rng.normal(size=(T * n, B, P))
        gradients *= C / np.linalg.norm(gradients, axis=2, keepdims=True)
        noises = rng.normal(scale=sigma * C, size=(200, T * n, P)).mean(axis=1)
        noise = np.sqrt(np.square(noises).sum(axis=1).mean())
        return float(np.linalg.norm(gradients.sum(axis=1).mean(axis=0)) / noise)

    bound = signal("any", batch=B, sigma=sigma, parameters=P, steps=T, sites=n).all_sites
    assert ratio(aligned=True) == pytest.approx(bound, rel=0.02)
    assert ratio(aligned=False) < bound / 10


@settings(max_examples=25)
@given(BATCHES, SIGMAS, COUNTS, COUNTS, st.integers(1, 100))
def test_the_ratio_moves_the_right_way(batch, sigma, parameters, steps, sites) -> None:
    def of(**changed: float) -> float:
        base = {"batch": batch, "sigma": sigma, "parameters": parameters, "steps": steps, "sites": sites}
        return signal("any", **{**base, **changed}).all_sites

    now = of()
    assert of(batch=2 * batch) == pytest.approx(2 * now)
    assert of(sigma=2 * sigma) == pytest.approx(now / 2)
    assert of(parameters=4 * parameters) == pytest.approx(now / 2)
    assert of(steps=4 * steps) == pytest.approx(2 * now)
    assert of(sites=4 * sites) == pytest.approx(2 * now)


@settings(max_examples=25)
@given(SIGMAS, COUNTS, COUNTS, st.integers(1, 100), st.floats(0.01, 1000))
def test_the_required_batch_gives_the_ratio_back(sigma, parameters, steps, sites, ratio) -> None:
    now = signal("any", batch=7.0, sigma=sigma, parameters=parameters, steps=steps, sites=sites)
    batch = sigma * required_batch_over_sigma(ratio, now, sites)
    then = signal("any", batch=batch, sigma=sigma, parameters=parameters, steps=steps, sites=sites)
    assert then.all_sites == pytest.approx(ratio)


CLASSES = image_of_class(ImageSpec(channels=1, size=(16, 16)), ("a", "b"))


@pytest.mark.parametrize("name", [name for name, spec in specs().items() if spec.supports(CLASSES) is None])
def test_only_what_is_noised_is_counted(tiny_study, name) -> None:
    recipe = Recipe.of(tiny_study(name))
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    counted = private_parameters(recipe)
    assert torch.equal(torch.random.get_rng_state(), before)
    networks = recipe.family.networks()
    noised = [o for o in objectives_of(recipe.family) if o.touches_data]
    # Every family's small options let all of them read in every step, so that they are one vector.
    assert all(o.every == 1 for o in noised)
    parameters = sum(p.numel() for o in noised for net in o.updates for p in networks[net].parameters())
    assert counted == ({" and ".join(o.name for o in noised): parameters} if noised else {})


def test_a_plan_gives_its_own_batch_noise_and_steps(tiny_study) -> None:
    study = tiny_study("gan", training={"rounds": 3, "local_steps": 4})
    recipe = Recipe.of(study)
    plan = Recipe.of(study).mechanism.plan(9, "north")
    (only,) = signals(recipe, plan, 5)
    assert only.objective == "discriminator"
    assert only.steps == 12
    expected = 3 / (plan.spend.noise_multiplier * np.sqrt(only.parameters))
    assert only.one_step == pytest.approx(expected)
    assert only.all_steps == pytest.approx(expected * np.sqrt(12))
    assert only.all_sites == pytest.approx(expected * np.sqrt(12 * 5))


def test_no_noise_has_no_ratio(tiny_study) -> None:
    study = tiny_study(privacy={"mode": "none"})
    recipe = Recipe.of(study)
    with pytest.raises(ValueError, match="without privacy"):
        signals(recipe, Recipe.of(study).mechanism.plan(9, "north"), 1)


def test_the_reference_is_the_papers_setting() -> None:
    found = reference()
    assert (found.plan.patients, found.plan.local.batch, found.signal.steps) == (60_000, 4096, 4400)
    # Measured for 300 epochs of batch 4096 at epsilon 10 and delta 1e-5: 2.38 by PRV.
    assert found.plan.spend.noise_multiplier == pytest.approx(2.38, rel=0.02)
    # 1.75 million parameters in the paper.
    assert found.signal.parameters == pytest.approx(1.75e6, rel=0.1)
