"""The study's keys reach the step: which backend, in which precision, with the same result."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fedgen.families.registry import specs
from fedgen.recipe import Recipe
from fedgen.study.study import Study
from fedgen.training import backends
from fedgen.training.backends import BACKENDS, backend_for, gradients_of
from fedgen.training.functional import trainable
from fedgen.training.local import LocalTrainer
from fedgen_privacy.gradients.hooks import HookedGradients


def test_auto_is_the_familys_own_table_and_vmap_where_nothing_was_measured(monkeypatch) -> None:
    fast = replace(specs()["vae"], fastest={"cpu": "vmap", "cuda": "hooks"})
    monkeypatch.setattr(backends, "specs", lambda: {"vae": fast})
    assert backend_for("auto", "vae", "cpu") == "vmap"
    assert backend_for("auto", "vae", "cuda:0") == "hooks"
    assert backend_for("auto", "vae", "mps") == "vmap"
    for asked in BACKENDS:
        assert backend_for(asked, "vae", "cpu") == asked


@pytest.mark.parametrize("family", specs())
def test_what_a_family_calls_fastest_exists(family) -> None:
    for device, backend in specs()[family].fastest.items():
        assert torch.device(device).type == device
        assert backend in BACKENDS


@pytest.mark.parametrize("asked", BACKENDS)
def test_the_plan_holds_what_the_study_asks(asked) -> None:
    study = Study.model_validate(
        {
            "study": {"name": "x"},
            "data": {"image_size": (16, 16), "labels": ("a", "b")},
            "model": {"family": "vae"},
            "training": {"gradients": asked, "precision": "bfloat16", "rounds": 1, "local_steps": 1},
        }
    )
    local = Recipe.of(study).mechanism.plan(40, "s").local
    assert (local.backend, local.precision) == (asked, "bfloat16")


def test_both_backends_take_the_same_steps(toy) -> None:
    """Same key, so same patients, draws and noise: what is left is the gradient."""
    after = {}
    for backend in BACKENDS:
        networks = toy.networks()
        plan = toy.plan(steps=5, mechanism=toy.Gaussian(1.0, 0.5), backend=backend)
        LocalTrainer((toy.Regression(),), networks).run(toy.cohort([1, 3, 2, 1]), plan, toy.random(1))
        after[backend] = torch.cat([p.detach().flatten() for p in networks["net"].parameters()])
    assert torch.allclose(after["vmap"], after["hooks"], atol=1e-5)
    start = torch.cat([p.detach().flatten() for p in toy.networks()["net"].parameters()])
    assert not torch.allclose(after["vmap"], start, atol=1e-3)


@pytest.mark.parametrize("mechanism", [True, False])
def test_bfloat16_rounds_the_passes_and_leaves_parameters_in_float32(toy, mechanism) -> None:
    after = {}
    for precision in ("float32", "bfloat16"):
        networks = toy.networks()
        plan = toy.plan(steps=3, precision=precision, mechanism=toy.Gaussian(1.0, 0.5) if mechanism else None)
        LocalTrainer((toy.Regression(),), networks).run(toy.cohort([1, 3, 2, 1]), plan, toy.random(1))
        after[precision] = torch.cat([p.detach().flatten() for p in networks["net"].parameters()])
        assert after[precision].dtype == torch.float32
    assert not torch.equal(after["float32"], after["bfloat16"])
    assert torch.allclose(after["float32"], after["bfloat16"], atol=0.15)


def test_only_the_networks_that_are_updated_are_hooked(toy) -> None:
    objective, networks = toy.Regression(), toy.networks()
    per_record = gradients_of(objective, networks, "hooks")
    assert isinstance(per_record, HookedGradients)
    assert {name for name, _ in per_record._layers} == {"net"}
    assert set(trainable(objective, networks)) == {"net/weight", "net/bias"}
