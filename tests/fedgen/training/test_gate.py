"""The gate: what the trainer differentiates is each PATIENT's loss, and no patient's part exceeds C.

Every family passes through it with perturbed weights and ragged patients; and it is shown to fail on the
two mistakes it stands for.
"""

from __future__ import annotations

import pytest
import torch
from torch.func import grad

from fedgen.families.contract import objectives_of
from fedgen.families.parts.noise_records import noise_records
from fedgen.families.registry import family_class, specs
from fedgen.selftest.tasks import CLASSES, IMAGES, first_task
from fedgen.training.functional import record_loss, trainable
from fedgen_privacy.gradients.protocol import records_of
from fedgen_privacy.gradients.tree import tree_map
from fedgen_privacy.gradients.vmap import per_record_gradients, vmapped
from fedgen_privacy.step import clipped_sum

COUNTS = (3, 1, 2, 3)
K = 2


def case(kind, seed=0):
    """Each objective on data, their networks, and the tensors of four patients for each."""
    name, axes = kind
    task = first_task(specs()[name], IMAGES[axes], CLASSES)
    assert task is not None
    family = family_class(name)(task, specs()[name].small)
    torch.manual_seed(seed)
    networks = family.networks()
    for network in networks.values():
        # MONAI's zero output convolutions would hide every other gradient.
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    records = noise_records(task, COUNTS, torch.Generator().manual_seed(seed))
    for objective in (o for o in objectives_of(family) if o.touches_data):
        draws = objective.draw(4, 3, K, torch.Generator().manual_seed(seed))
        yield objective, networks, (records, draws)


def one_by_one(objective, networks, batch) -> torch.Tensor:
    """(4, P): gradients by ordinary autograd, one patient at a time, absent images cut away."""
    found = []
    parameters = list(trainable(objective, networks).values())
    for b, n in enumerate(COUNTS):
        cut = tree_map(lambda tensor, b=b, n=n: tensor[b : b + 1, :n], batch)
        loss = objective.loss(networks, *cut)
        gradients = torch.autograd.grad(loss.sum(), parameters)
        found.append(torch.cat([g.flatten() for g in gradients]))
    return torch.stack(found)


def values(objective, networks):
    return {name: p.detach() for name, p in trainable(objective, networks).items()}


def rows(gradients) -> torch.Tensor:
    return torch.cat([g.flatten(1) for g in gradients.values()], dim=1)


def vector(gradients) -> torch.Tensor:
    return torch.cat([g.flatten() for g in gradients.values()])


def check_gradients(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert (expected.norm(dim=1) > 1e-4).all(), "the gate would be vacuous"
    assert (expected != 0).any(dim=0).float().mean() > 0.9
    assert ((actual - expected).norm(dim=1) / expected.norm(dim=1)).max() < 2e-4


def check_clipped(total: torch.Tensor, expected: torch.Tensor, C: float) -> None:
    norms = expected.norm(dim=1, keepdim=True)
    assert (norms > C).any(), "the gate would be vacuous"
    assert (total - (expected * (C / norms).clamp(max=1)).sum(dim=0)).norm() < 1e-3 * C


@pytest.mark.parametrize(
    "chunk", [pytest.param(1, marks=pytest.mark.slow), 3, pytest.param(16, marks=pytest.mark.slow)]
)
def test_gradients_are_each_patients_own(private_kind, chunk) -> None:
    for objective, networks, batch in case(private_kind):
        pieces = per_record_gradients(
            record_loss(objective, networks), values(objective, networks), batch, chunk=chunk
        )
        actual = torch.cat([rows(gradients) for gradients, _ in pieces])
        check_gradients(actual, one_by_one(objective, networks, batch))


def test_each_patients_part_has_at_most_the_norm_asked_for(private_kind) -> None:
    for objective, networks, batch in case(private_kind):
        expected = one_by_one(objective, networks, batch)
        C = float(expected.norm(dim=1).median())
        loss, params = record_loss(objective, networks), values(objective, networks)

        def total(part, loss=loss, params=params, C=C):
            return vector(
                clipped_sum(vmapped(loss), params, part, bound=C, loss_bounds=(4.0,), chunk=3).gradients
            )

        check_clipped(total(batch), expected, C)
        for b in range(4):
            alone = total(records_of(batch, b, b + 1))
            assert alone.norm() <= C * (1 + 1e-5)
            check_clipped_alone = expected[b] * min(1.0, C / float(expected[b].norm()))
            assert (alone - check_clipped_alone).norm() < 1e-3 * C


def test_the_gate_catches_gradients_of_the_batch_mean(private_kind) -> None:
    for objective, networks, batch in case(private_kind):
        loss, params = record_loss(objective, networks), values(objective, networks)

        def batch_mean(params, loss=loss, batch=batch):
            patients = [tree_map(lambda tensor, b=b: tensor[b], batch) for b in range(4)]
            return torch.stack([loss(params, patient) for patient in patients]).mean()

        broken = vector(grad(batch_mean)(params)).expand(4, -1)
        expected = one_by_one(objective, networks, batch)
        with pytest.raises(AssertionError):
            check_gradients(broken, expected)
        with pytest.raises(AssertionError):
            check_clipped(broken.sum(dim=0), expected, float(expected.norm(dim=1).median()))


def test_the_gate_catches_a_clip_for_each_image(private_kind) -> None:
    """Clipping images instead of patients lets a patient with three images move the sum by up to 3 C."""
    for objective, networks, batch in case(private_kind):
        loss, params = record_loss(objective, networks), values(objective, networks)
        expected = one_by_one(objective, networks, batch)
        C = float(expected.norm(dim=1).median()) / 10
        broken = torch.zeros_like(expected[0])
        for b, n in enumerate(COUNTS):
            for i in range(n):
                cut = tree_map(lambda tensor, b=b, i=i: tensor[b : b + 1, i : i + 1], batch)
                image = cut[0]._replace(weights=dict.fromkeys(cut[0].weights, torch.ones(1, 1))), cut[1]
                broken += vector(
                    clipped_sum(vmapped(loss), params, image, bound=C, loss_bounds=(4.0,), chunk=1).gradients
                )
        with pytest.raises(AssertionError):
            check_clipped(broken, expected, C)


def test_networks_the_objective_does_not_update_get_no_gradient(private_kind) -> None:
    for objective, networks, batch in case(private_kind):
        names = {name.split("/")[0] for name in trainable(objective, networks)}
        assert names == set(objective.updates)
        params = values(objective, networks)
        next(iter(per_record_gradients(record_loss(objective, networks), params, batch, chunk=4)))
        assert all(p.grad is None for network in networks.values() for p in network.parameters())
