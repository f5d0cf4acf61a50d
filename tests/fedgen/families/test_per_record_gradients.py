"""The gate of the private step: vmapped per-record gradients are the true ones, for every family."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad, vmap

from fedgen.families.contract import objectives_of
from fedgen.families.registry import specs
from fedgen.recipe import Recipe
from fedgen.selftest.tasks import IMAGES
from fedgen.task.task import image_of_class
from fedgen_privacy.gradients.protocol import pieces
from fedgen_privacy.gradients.tree import tree_map


def flat(tree: dict[str, dict[str, torch.Tensor]], leading: int = 0) -> torch.Tensor:
    """All parameters as one vector, after `leading` batch dimensions."""
    parts = [v.flatten(leading) for n in sorted(tree) for _, v in sorted(tree[n].items())]
    return torch.cat(parts, dim=leading)


def vmapped(objective, networks, records, draws, record_loss) -> torch.Tensor:
    loss, params = record_loss(objective, networks)
    gradients = vmap(grad(loss), in_dims=(None, 0, 0), chunk_size=2)(params, records, draws)
    return flat(gradients, leading=1)


def looped(objective, networks, records, draws) -> torch.Tensor:
    """One record at a time through the modules themselves and ordinary autograd."""
    gradients = []
    for one in pieces((records, draws), 1):
        loss = objective.loss(networks, *one)
        for network in networks.values():
            network.zero_grad()
        loss.sum().backward()
        gradients.append(
            flat({n: {k: v.grad for k, v in networks[n].named_parameters()} for n in objective.updates})
        )
    return torch.stack(gradients)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-9), pytest.param(torch.float32, 2e-4, marks=pytest.mark.slow)],
)
def test_vmapped_gradients_equal_a_loop(
    stepping, dtype, tolerance, perturbed, ragged, draw_for, record_loss
) -> None:
    networks, records = perturbed(stepping, dtype), ragged(dtype)
    objectives = [o for o in objectives_of(stepping) if o.touches_data]
    assert objectives
    for objective in objectives:
        draws = draw_for(objective, dtype=dtype)
        actual = vmapped(objective, networks, records, draws, record_loss)
        expected = looped(objective, networks, records, draws)
        norms = expected.norm(dim=1)
        assert (norms > 1e-3).all()
        # No parameter may be dead, or the comparison would be vacuous for it.
        assert (expected != 0).any(dim=0).float().mean() > 0.9
        assert ((actual - expected).norm(dim=1) / norms).max() < tolerance


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, spec in specs().items()
        if not spec.sums and spec.supports(image_of_class(IMAGES[2], ("a", "b"))) is None
    ],
)
def test_gradients_of_the_default_networks(name, study_of, perturbed, ragged, draw_for, record_loss) -> None:
    """Default depth and attention at 64 pixels, where MONAI's activations lose their contiguity."""
    recipe = Recipe.of(study_of(name, 64, **specs()[name].options().model_dump()))
    family = recipe.family
    networks = perturbed(family, torch.float64)
    records = tree_map(lambda tensor: tensor[1:3, :2], ragged(torch.float64, recipe.task))
    objective = objectives_of(family)[0]
    draws = {k: d[1:3, :2] for k, d in draw_for(objective, K=1, dtype=torch.float64).items()}
    expected = looped(objective, networks, records, draws)
    actual = vmapped(objective, networks, records, draws, record_loss)
    assert ((actual - expected).norm(dim=1) / expected.norm(dim=1)).max() < 1e-9


def test_true_norms_never_exceed_the_clip(stepping, perturbed, ragged, draw_for, record_loss) -> None:
    """Clip by vmapped norms, then measure against gradients made the ordinary way."""
    networks, records, C = perturbed(stepping), ragged(), 1e-2
    objective = objectives_of(stepping)[0]
    draws = draw_for(objective)
    actual = vmapped(objective, networks, records, draws, record_loss)
    factors = (C / actual.norm(dim=1)).clamp(max=1)
    true = looped(objective, networks, records, draws)
    assert (true.norm(dim=1) > C).any()
    assert ((factors[:, None] * actual).norm(dim=1) <= C * (1 + 1e-5)).all()
    assert ((factors[:, None] * true).norm(dim=1) <= C * (1 + 1e-3)).all()
