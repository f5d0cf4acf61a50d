"""Several objectives that read patients are one vector: one sample, one clip, one use of the noise."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen.training.backends import BACKENDS
from fedgen.training.joint import Joint, JointBatch, mechanism_steps, reading
from fedgen.training.local import LocalTrainer
from fedgen_privacy.distributed import noise_share
from fedgen_privacy.gradients.protocol import records_of
from fedgen_privacy.integer_step import integer_sum, read_step
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.step import LOSS_SHARE, GaussianStep, clipped_sum

COUNTS = [2, 1, 2, 1, 2]


@pytest.fixture(scope="session")
def pair(toy):
    """`pair()`: an objective of the network `net`, and one of `second`, in whose loss `net` is a constant."""

    class Second(toy.Regression):
        """(second(pixels) - net(pixels))^2 + eps^2."""

        updates = ("second",)
        loss_bound = 3.0

        def loss(self, networks, records, draws):
            pixels = records.fields["image"].flatten(2)
            error = (networks["second"](pixels) - networks["net"](pixels)).squeeze(-1)
            squares = error.square() + draws["eps"].square().mean(dim=2)
            return (squares * records.weights["patient"]).sum(dim=1)

    return lambda every=1: (toy.Regression("first"), Second("second", every=every))


def batch_of(joint, cohort, M=2, K=2, seed=0) -> JointBatch:
    records = cohort.records(torch.arange(cohort.n_patients), SecretRandom(bytes(32)))
    rng = torch.Generator().manual_seed(seed)
    return JointBatch(records, joint.draw(cohort.n_patients, M, K, rng))


def looped(joint, networks, batch) -> torch.Tensor:
    """(B, P) by ordinary autograd, one patient and one objective at a time."""
    rows = []
    for b in range(len(COUNTS)):
        patient, parts = records_of(batch, b, b + 1), []
        for objective in joint.objectives:
            loss = objective.loss(networks, patient.records, patient.draws[objective.name]).sum()
            updated = [p for name in objective.updates for p in networks[name].parameters()]
            parts += [g.flatten() for g in torch.autograd.grad(loss, updated)]
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def vector(gradients) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in gradients.values()])


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=15)
@given(C=st.floats(1e-3, 30), seed=st.integers(0, 99), chunk=st.integers(1, 6))
def test_the_sum_is_of_whole_vectors_clipped_once(toy, pair, backend, C, seed, chunk) -> None:
    joint, networks, cohort = Joint(pair()), toy.networks(seed), toy.cohort(COUNTS)
    batch = batch_of(joint, cohort, seed=seed)
    expected = looped(joint, networks, batch)
    per_record, values = joint.gradients(networks, backend), joint.values(networks)
    whole = clipped_sum(
        per_record, values, joint.batch(batch), bound=C, loss_bounds=joint.loss_bounds, chunk=chunk
    )
    clipped = expected * (C / expected.norm(dim=1, keepdim=True)).clamp(max=1)
    assert torch.allclose(vector(whole.gradients), clipped.sum(dim=0), rtol=1e-4, atol=1e-5 * C)
    step = GaussianStep(C, 0.0, 1.0, joint.loss_bounds, chunk)
    for b in range(len(COUNTS)):
        alone = step(per_record, values, joint.batch(records_of(batch, b, b + 1)), SecretRandom(bytes(32)))
        units = [
            LOSS_SHARE * C / math.sqrt(2) / bound * loss
            for bound, loss in zip(joint.loss_bounds, alone.losses, strict=True)
        ]
        assert math.hypot(float(vector(alone.gradients).norm()), *units) <= C * (1 + 1e-5)


def test_its_integers_are_within_the_sensitivity_and_read_back(toy, pair) -> None:
    joint, networks, cohort = Joint(pair()), toy.networks(1), toy.cohort(COUNTS)
    batch, values, C = batch_of(joint, cohort), joint.values(networks), 0.4
    share = noise_share(
        clipping_norm=C,
        noise_multiplier=1.0,
        dimension=joint.dimension(networks),
        expected_batch=5.0,
        needed=3,
        colluders=0,
        sites=3,
    )
    options = {"clipping_norm": C, "loss_bounds": joint.loss_bounds}

    def summed(part):
        return integer_sum(joint.gradients(networks), values, part, share=share, chunk=2, **options)

    parts = [summed(joint.batch(records_of(batch, b, b + 1))) for b in range(len(COUNTS))]
    whole = summed(joint.batch(batch))
    assert torch.equal(whole, torch.stack(parts).sum(dim=0))
    assert all(int(part.square().sum()) <= share.sensitivity**2 for part in parts)
    # Everybody is clipped here, to all that is left of C.
    assert all(int(part.square().sum()) > 0.9 * share.sensitivity**2 for part in parts)
    shapes = {name: value.shape for name, value in values.items()}
    opened = read_step(whole, shapes, expected_batch=5.0, share=share, sites=3, **options)
    expected = clipped_sum(
        joint.gradients(networks),
        values,
        joint.batch(batch),
        bound=C * (1 - LOSS_SHARE**2) ** 0.5,
        loss_bounds=joint.loss_bounds,
        chunk=9,
    )
    for name in values:
        assert torch.allclose(opened.gradients[name], expected.gradients[name] / 5, rtol=2e-3, atol=1e-6)
    assert opened.losses == pytest.approx([float(loss) / 5 for loss in expected.losses], rel=1e-3)


def test_a_network_that_two_objectives_update_has_a_part_for_each(toy) -> None:
    joint, networks = Joint((toy.Regression("a"), toy.Regression("b"))), toy.networks()
    batch = batch_of(joint, toy.cohort(COUNTS))
    assert joint.dimension(networks) == 2 * 5 + 2
    pieces = joint.gradients(networks)(joint.values(networks), joint.batch(batch), chunk=9)
    ((gradients, losses),) = pieces
    rows = torch.cat([tensor.flatten(1) for tensor in gradients.values()], dim=1)
    assert torch.allclose(rows, looped(joint, networks, batch), atol=1e-5)
    assert losses.shape == (5, 2)


@pytest.mark.parametrize("private", [False, True])
def test_all_parts_are_taken_at_the_same_parameters(toy, pair, private) -> None:
    """As much noise as none, a clip that touches nobody, everybody in the batch: both are the plain gradients."""
    objectives, cohort = pair(), toy.cohort(COUNTS)
    for objective in objectives:
        objective.noise = 0.0
    mechanism = toy.Gaussian(1e6, 1e-16) if private else None
    plan = toy.plan(steps=1, batch=len(COUNTS), sampling_rate=1.0, mechanism=mechanism)
    networks = toy.networks()
    expected = looped(Joint(objectives), networks, batch_of(Joint(objectives), cohort)).mean(dim=0)
    given = []

    class Watched(LocalTrainer):
        def apply(self, objective, gradients):
            given.append(vector(gradients))
            super().apply(objective, gradients)

    losses = Watched(objectives, networks).run(cohort, plan, toy.random())
    assert torch.allclose(torch.cat(given), expected, rtol=1e-4, atol=1e-5)
    assert set(losses) == {"first", "second"}


def test_each_objectives_loss_is_reported_with_its_noise(toy, pair) -> None:
    plan = toy.plan(steps=4, sampling_rate=1.0, mechanism=toy.Gaussian(0.5, 2.0))
    losses = LocalTrainer(pair(every=2), toy.networks()).run(toy.cohort(COUNTS), plan, toy.random())
    # sigma C / (share C / sqrt(n) / bound) / B of a step; in half of the steps the first is alone.
    alone, first, second = (2.0 * n**0.5 * bound / LOSS_SHARE / 3 for n, bound in ((1, 10), (2, 10), (2, 3)))
    assert losses["first"].std == pytest.approx(math.sqrt(2 * alone**2 + 2 * first**2) / 4)
    assert losses["second"].std == pytest.approx(math.sqrt(2 * second**2) / 2)


@settings(max_examples=25)
@given(steps=st.integers(1, 8), first=st.integers(1, 4), second=st.integers(1, 4))
def test_a_step_that_reads_anybody_is_one_use_of_the_noise(toy, steps, first, second) -> None:
    objectives = (toy.Regression("a", every=first), toy.Follower(), toy.Regression("b", every=second))
    taken = []

    class Counted(GaussianStep):
        def __call__(self, *args):
            taken.append(len(self.loss_bounds))
            return super().__call__(*args)

    plan = toy.plan(steps=steps, mechanism=toy.Gaussian(1.0, 1.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedgen.training.local.GaussianStep", Counted)
        LocalTrainer(objectives, toy.networks()).run(toy.cohort([1, 2, 1]), plan, toy.random())
    assert len(taken) == mechanism_steps(objectives, steps)
    assert sum(taken) == steps // first + steps // second
    turns = [reading(objectives, step) for step in range(1, steps + 1)]
    assert [len(joint.objectives) for joint in turns if joint is not None] == taken


def test_a_turn_that_never_comes_is_said(toy) -> None:
    assert toy.Regression(every=3).why_never(3) is None
    assert "a turn in one of 4 steps, but there are 3" in toy.Regression(every=4).why_never(3)
    assert toy.Follower(every=4).why_never(3) is None
