"""Reconstructions with a verdict: what shows a patient is told from what shows anybody."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fedgen.data.site_data import Part
from fedgen.evidence.audit.audited import usable
from fedgen.evidence.audit.gradient_inversion import GradientInversion, Protection, inverted, protection
from fedgen.evidence.audit.model_inversion import ModelInversion, beginnings, climbed
from fedgen.evidence.audit.white_hat import LEAST, MOST, drawn, steps_within, vector_of
from fedgen.evidence.measure import AuditedModel, Real
from fedgen.evidence.open_model import OpenModel
from fedgen.evidence.verdict import Undecided, decide
from fedgen.families.registry import specs
from fedgen.recipe import Recipe
from fedgen.run.row import Verdict
from fedgen.study.audit_section import AuditSection
from fedgen.study.study import Study
from fedgen.task.stack import stacked
from fedgen.training.task_records import one_record_each
from fedgen_privacy.gradients.protocol import records_of

OPTIONS = AuditSection(bootstrap=100, reconstruction_seconds=1e-9)


@pytest.fixture
def opened(make_world):
    """`opened("vae", secure=False)`: a model as it begins, and a site of patients."""

    def make(family: str, *, secure: bool = False, mode: str = "none", options: dict | None = None, **world):
        made = make_world(11, 24, 24, 40, **{"images": 1, **world})
        own = options if options is not None else specs()[family].small.model_dump()
        study = Study.model_validate(
            {
                "study": {"name": "t"},
                "data": {"labels": ["a"], "image_size": [32, 32]},
                "model": {"family": family, family: own},
                "privacy": {"mode": mode, "epsilon": 1.0, "delta": 1e-3},
                "aggregation": {"secure": secure, "minimum_sites": 3 if secure else 1},
                "training": {"batch_patients": 8, "rounds": 2, "local_steps": 2},
                "audit": {"bootstrap": 100},
            }
        )
        recipe = Recipe.of(study)
        return made, OpenModel(recipe, recipe.networks(recipe.initial), "cpu")

    return make


LATENT = {"latent_size": 12, "moment_weight": 0.0}


def row_of(world, model, hidden, steps, options=OPTIONS):
    audit = GradientInversion(options)
    records = audit._records(usable(Real(world.sites))[0], model, 0)
    n = len(records.weights["patient"])
    rng = torch.Generator().manual_seed(0)
    guesses = torch.stack(
        [inverted(model, records_of(records, i, i + 1), hidden, steps, rng) for i in range(n)]
    )
    return decide([audit.judged(guesses, records, model, hidden, steps, 0)], 0.05)[0]


def test_a_sum_without_noise_shows_its_patient_and_one_with_much_does_not(opened) -> None:
    world, model = opened("latent", options=LATENT)
    bare = row_of(world, model, Protection(None, 0.0), 16)
    assert bare.verdict is Verdict.REVIEW and "her image is found" in bare.reason
    assert bare.get("reconstructions nearest to their own patient").value > 0.8
    noised = row_of(world, model, Protection(1.0, 30.0), 16)
    assert noised.verdict is Verdict.PASS
    assert noised.get("p, own patient (permutation of patients)").value > 0.01


def test_under_secure_aggregation_it_is_said_and_not_held_against_the_release(opened) -> None:
    world, model = opened("latent", secure=True, options=LATENT)
    row = row_of(world, model, Protection(None, 0.0), 16)
    assert row.verdict is Verdict.PASS and "Secure aggregation hides single vectors" in row.reason


@pytest.mark.slow  # a sum goes the same way above, and the gradient's own gradient is checked below
def test_a_gradient_without_noise_shows_its_patient(opened) -> None:
    """Of a network: its gradient is differentiated again."""
    world, model = opened("vae")
    row = row_of(world, model, Protection(None, 0.0), 60)
    assert row.verdict is Verdict.REVIEW
    own, other = (
        row.get(f"squared error to {who}").value for who in ("the own image", "other patients' images")
    )
    assert own < 0.9 * other


def test_the_vector_is_the_gradient_and_its_own_gradient_is_that_of_differences(opened) -> None:
    world, model = opened("vae")
    records = records_of(one_record_each(model.recipe.task, world.sites[0]), 0, 1)
    draws = drawn(model, 1, torch.Generator().manual_seed(0))
    picture = records.fields["image"].clone().requires_grad_()
    vector = vector_of(model, records._replace(fields={**records.fields, "image": picture}), draws)
    (objective,) = model.recipe.family.contributions()
    loss = objective.loss(model.networks, records, draws[objective.name]).sum()
    plain = torch.autograd.grad(loss, [p for p in model.networks["vae"].parameters() if p.requires_grad])
    torch.testing.assert_close(vector, torch.cat([each.flatten() for each in plain]))
    way = torch.randn(vector.shape, generator=torch.Generator().manual_seed(1)) / 100
    (slope,) = torch.autograd.grad((vector * way).sum(), picture)
    step = torch.zeros_like(picture)
    step[..., 10, 10] = 1e-2

    def along(sign: float) -> float:
        fields = {**records.fields, "image": records.fields["image"] + sign * step}
        return float((vector_of(model, records._replace(fields=fields), draws).detach().double() * way).sum())

    found = (along(1) - along(-1)) / 2e-2
    assert found == pytest.approx(float(slope[..., 10, 10]), rel=0.1, abs=1e-3)


def test_the_protection_is_the_studys(opened) -> None:
    _, bare = opened("vae")
    assert protection(bare, 24, "site0") == Protection(None, 0.0)
    _, private = opened("vae", mode="local")
    hidden = protection(private, 24, "site0")
    assert hidden.bound == 1.0 and hidden.noise > 1.0
    vector = hidden(torch.full((1000,), 5.0), torch.Generator().manual_seed(0))
    assert vector.std() == pytest.approx(hidden.noise, rel=0.1)
    assert Protection(1.0, 0.0)(torch.full((4,), 5.0), torch.Generator()).norm() == pytest.approx(1.0)


def test_both_are_left_out_unless_they_are_given_time(opened, labelled) -> None:
    world, model = opened("latent", options=LATENT)
    audited = AuditedModel(model.attacks(), None, 1e-5, model)
    release = labelled(world.strangers)
    for kind in (GradientInversion, ModelInversion):
        assert not list(kind(AuditSection()).measure(Real(world.sites), release, audited, 0))
        (found,) = kind(OPTIONS).measure(Real(world.sites), release, audited, 0)
        assert isinstance(found, Undecided) and f"{LEAST} steps" in found.row.note
        assert found.row.values and found.row.n["train_patients"] >= 10


@pytest.mark.parametrize("family", ["latent", "vae"])
def test_steps_lead_up_the_score(opened, family) -> None:
    _, model = opened(family, options=LATENT if family == "latent" else None)
    images, given = beginnings(model, 6, torch.Generator().manual_seed(0))
    moved, rise = climbed(model, images, given, 8, 0)
    assert rise > 0 and moved.shape == images.shape and moved.abs().max() <= 1
    assert not torch.equal(moved, images)


def test_results_that_are_training_patients_are_reviewed_and_strangers_are_not(opened) -> None:
    world, model = opened("latent", options=LATENT)
    train = world.sites[0].part(Part.TRAIN).images.float()
    rng = torch.Generator().manual_seed(0)
    near = (train + 0.05 * torch.randn(train.shape, generator=rng)).clamp(-1, 1)
    audit = ModelInversion(OPTIONS)
    found = [
        decide([audit.judged(Real(world.sites), model, images, 0.0, 16, 0)], 0.05)[0]
        for images in (near, world.strangers)
    ]
    assert [row.verdict for row in found] == [Verdict.REVIEW, Verdict.PASS]
    assert found[0].get("results nearer to a training than to a held-out patient").value == 1.0
    shift = 0.4 * (world.sites[0].parts == int(Part.AUDIT)).half()[:, None, None, None]
    shifted = replace(world.sites[0], images=world.sites[0].images + shift)
    invalid = decide([audit.judged(Real([shifted]), model, near, 0.0, 16, 0)], 0.05)[0]
    assert invalid.verdict is Verdict.REVIEW and "invalid" in invalid.reason


def test_time_buys_a_power_of_two_steps(monkeypatch) -> None:
    clock = iter([0.0, 0.01] * 10)
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert steps_within(10.0, 10, lambda: None) == 64
    assert steps_within(0.001, 10, lambda: None) == LEAST
    assert steps_within(1e6, 10, lambda: None) == MOST


def test_a_record_of_the_whole_stack_is_sought(opened) -> None:
    world, model = opened("latent", options=LATENT)
    records = records_of(one_record_each(model.recipe.task, world.sites[0]), 0, 1)
    found = inverted(model, records, Protection(None, 0.0), 2, torch.Generator().manual_seed(0))
    assert found.shape == stacked(model.recipe.task, records.fields)[0, 0].shape
