"""The local trainer against a loop written by hand, and its private step against the definition."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen.training.joint import mechanism_steps
from fedgen.training.local import LocalTrainer
from fedgen.training.optimizer_state import load_state, state_tensors
from fedgen.training.outbox import Outbox, RoundResult
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.step import GaussianStep


def weights(networks) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for n in sorted(networks) for p in networks[n].parameters()])


def test_without_privacy_it_is_the_plain_loop(toy) -> None:
    objectives = (toy.Regression(), toy.Follower(every=2))
    plan, cohort = toy.plan(steps=6), toy.cohort([1, 3, 2, 2, 1])
    trained = toy.networks()
    losses = LocalTrainer(objectives, trained).run(cohort, plan, toy.random(3))

    expected, random = toy.networks(), toy.random(3)
    net, second = expected["net"], expected["second"]
    adam = torch.optim.Adam(net.parameters(), lr=0.05)
    adam_of_second = torch.optim.Adam(second.parameters(), lr=0.05)
    rng = random.generator()
    seen, followed = [], []
    for step in range(1, 7):
        sampled = random.poisson_sample(5, 0.5)
        if len(sampled):
            records = cohort.records(sampled, random)
            eps = 0.1 * torch.randn(len(sampled), 2, 2, generator=rng)
            total = torch.zeros(())
            for b in range(len(sampled)):
                present = [j for j in range(2) if records.weights["patient"][b, j] > 0]
                for j in present:
                    output = (
                        net(records.fields["image"][b, j].flatten()).squeeze() - records.fields["class"][b, j]
                    )
                    total = total + ((output + eps[b, j]) ** 2).mean() / len(present)
            loss = total / len(sampled)
            adam.zero_grad()
            loss.backward()
            adam.step()
            seen.append(loss.item())
        if step % 2 == 0:
            x = torch.randn(3, 4, generator=rng)
            loss = (second(x) - net(x).detach()).square().mean()
            adam_of_second.zero_grad()
            loss.backward()
            adam_of_second.step()
            followed.append(loss.item())
    assert 0 < len(seen) <= 6
    assert torch.allclose(weights(trained), weights(expected), atol=1e-6)
    assert losses["regression"].value == pytest.approx(sum(seen) / len(seen), rel=1e-4)
    assert losses["follower"].value == pytest.approx(sum(followed) / 3, rel=1e-4)
    assert losses["regression"].std == 0


def test_an_empty_batch_is_noised_and_stepped(toy) -> None:
    """Skipping it would show that nobody was sampled."""
    objective, networks = toy.Regression(), toy.networks()
    before = weights(networks)
    plan = toy.plan(steps=1, sampling_rate=1e-9, mechanism=toy.Gaussian(2.0, 1.5))
    random = toy.ScriptedRandom(7)
    trainer = LocalTrainer((objective,), networks)
    losses = trainer.run(toy.cohort([1, 2]), plan, random)
    assert objective.batches == []
    noise = SecretRandom(toy.key(8))
    for parameter in networks["net"].parameters():
        assert torch.equal(parameter.grad, noise.gaussian(parameter.shape, 1.5 * 2.0) / 3)
    assert not torch.equal(weights(networks), before)
    assert trainer.optimizers["regression"].state_dict()["state"][0]["step"] == 1
    # loss noise: sigma C / (share C / loss_bound) / B, with the share of 0.2 the step reserves
    assert losses["regression"].std == pytest.approx(1.5 * 10.0 / 0.2 / 3)
    assert losses["regression"].value != 0


def test_without_privacy_an_empty_batch_changes_nothing(toy) -> None:
    networks = toy.networks()
    before = weights(networks)
    losses = LocalTrainer((toy.Regression(),), networks).run(
        toy.cohort([1, 2]), toy.plan(sampling_rate=1e-9), toy.random()
    )
    assert losses == {}
    assert torch.equal(weights(networks), before)


def private_gradient(toy, site, *, batch=3, sigma=0.0, C=1.0, key=0) -> torch.Tensor:
    """The gradient of one private step on every patient of `site`, from a network with a bias of zero."""
    networks = toy.networks()
    torch.nn.init.zeros_(networks["net"].bias)
    plan = toy.plan(steps=1, batch=batch, sampling_rate=1.0, mechanism=toy.Gaussian(C, sigma))
    trainer = LocalTrainer((toy.Regression(noise=0.0),), networks)
    trainer.run(TrainingPatients(site, 2), plan, toy.ScriptedRandom(key))
    return torch.cat([p.grad.flatten() for p in networks["net"].parameters()])


def with_patient(site, images, label: int):
    """`site` with one patient more."""
    n = len(images)
    return dataclasses.replace(
        site,
        images=torch.cat([site.images, images]),
        labels=torch.cat([site.labels, torch.full((n,), label)]),
        patients=torch.cat([site.patients, torch.full((n,), int(site.patients.max()) + 1)]),
        parts=torch.cat([site.parts, torch.zeros(n, dtype=torch.int64)]),
    )


def test_the_divisor_is_the_expected_batch(toy) -> None:
    """Neither the number sampled nor N: a patient without a gradient changes nothing at all."""
    site = toy.site([1, 1, 1, 1])
    alone = private_gradient(toy, site)
    assert alone.norm() > 0.1
    # Black images of class 0 at a network without bias: loss and gradient are zero.
    silent = with_patient(site, torch.zeros(2, 1, 2, 2), 0)
    assert TrainingPatients(silent, 2).n_patients == 5
    assert torch.equal(private_gradient(toy, silent), alone)
    assert torch.allclose(private_gradient(toy, site, batch=6) * 2, alone)


@settings(deadline=None, max_examples=80)
@given(
    pixels=st.lists(st.floats(-1e6, 1e6, width=32), min_size=8, max_size=8),
    label=st.integers(0, 1),
    C=st.floats(0.01, 10),
    batch=st.integers(1, 20),
)
def test_one_patient_moves_the_noised_gradient_by_at_most_the_bound(toy, pixels, label, C, batch) -> None:
    """Same noise, one patient more: the two gradients differ by at most C / B, whatever the patient's images."""
    site = toy.site([2, 1, 2])
    bigger = with_patient(site, torch.tensor(pixels).reshape(2, 1, 2, 2), label)
    without = private_gradient(toy, site, batch=batch, sigma=0.5, C=C, key=4)
    with_it = private_gradient(toy, bigger, batch=batch, sigma=0.5, C=C, key=4)
    # float32 rounding of noise of this size comes on top
    slack = 1e-5 * (without.abs().max().item() + C / batch)
    assert (with_it - without).norm().item() <= C / batch + slack


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 3e38])
def test_a_patient_whose_gradient_overflows_contributes_nothing(toy, poison) -> None:
    site = toy.site([2, 1, 2])
    bigger = with_patient(site, torch.full((1, 1, 2, 2), poison), 1)
    gradient = private_gradient(toy, site, sigma=0.5)
    assert gradient.isfinite().all()
    assert torch.equal(private_gradient(toy, bigger, sigma=0.5), gradient)


def test_a_whole_patient_is_clipped_once(toy) -> None:
    """One patient with two equal images moves the sum as far as with one of them, not twice as far."""
    image = torch.full((1, 1, 2, 2), 50.0)
    one = toy.site([1], images=image)
    two = toy.site([2], images=image.expand(2, -1, -1, -1))
    C = 0.3
    gradient = private_gradient(toy, one, C=C, batch=1)
    assert gradient.norm().item() == pytest.approx(C * (1 - 0.2**2) ** 0.5, rel=1e-5)
    assert torch.allclose(private_gradient(toy, two, C=C, batch=1), gradient)


@settings(deadline=None, max_examples=40)
@given(
    steps=st.integers(1, 9), every=st.integers(1, 4), follow=st.integers(1, 4), q=st.sampled_from([1e-9, 0.5])
)
def test_the_accountants_steps_are_those_taken(toy, steps, every, follow, q) -> None:
    """Every private step counts, the empty ones too; the objective that sees no data costs nothing."""
    taken = []

    class Counted(GaussianStep):
        def __call__(self, *args):
            taken.append(args[2])
            return super().__call__(*args)

    objectives = (toy.Regression(every=every), toy.Follower(every=follow))
    plan = toy.plan(steps=steps, sampling_rate=q, mechanism=toy.Gaussian(1.0, 1.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedgen.training.local.GaussianStep", Counted)
        told = []
        LocalTrainer(objectives, toy.networks()).run(toy.cohort([1, 2, 1]), plan, toy.random(), told.append)
    assert len(taken) == mechanism_steps(objectives, steps)
    assert len(objectives[1].batches) == sum(step % follow == 0 for step in range(1, steps + 1))
    assert told == list(range(1, steps + 1))
    if q < 0.1:
        assert all(batch is None for batch in taken)


def test_two_objectives_on_data_pay_once_and_read_the_same_patients(toy) -> None:
    first, second = toy.Regression("first"), toy.Regression("second", every=2)
    assert mechanism_steps((first, second), 5) == 5
    LocalTrainer((first, second), toy.networks()).run(
        toy.cohort([1] * 12), toy.plan(steps=8, mechanism=toy.Gaussian(1.0, 1.0)), toy.random(2)
    )
    assert first.batches[1::2] == second.batches
    assert first.batches[0::2] != second.batches


@pytest.mark.parametrize("private", [False, True])
def test_optimizer_moments_continue_bit_for_bit(toy, private) -> None:
    plan = toy.plan(steps=3, mechanism=toy.Gaussian(1.0, 0.5) if private else None)
    cohort, objectives = toy.cohort([1, 2, 3, 1]), (toy.Regression(), toy.Follower(every=2))

    whole = toy.networks()
    trainer = LocalTrainer(objectives, whole)
    trainer.run(cohort, plan, toy.random(1))
    trainer.run(cohort, plan, toy.random(2))

    halves = toy.networks()
    trainer = LocalTrainer(objectives, halves)
    trainer.run(cohort, plan, toy.random(1))
    saved = state_tensors(trainer.optimizers)
    assert {name.split("/")[0] for name in saved} == {"regression", "follower"}
    again = LocalTrainer(objectives, halves)
    load_state(again.optimizers, saved)
    again.run(cohort, plan, toy.random(2))
    assert torch.equal(weights(halves), weights(whole))

    forgetful = toy.networks()
    LocalTrainer(objectives, forgetful).run(cohort, plan, toy.random(1))
    LocalTrainer(objectives, forgetful).run(cohort, plan, toy.random(2))
    assert not torch.equal(weights(forgetful), weights(whole))


def test_an_objective_that_remembers_takes_its_turns_when_it_says(toy) -> None:
    """Turns at steps 1, 3, 6, 10, ...: one more step of waiting each time, whatever round a step belongs to."""
    objective, networks = toy.Patient(), toy.networks()
    trainer = LocalTrainer((toy.Regression(), objective), networks)
    taken: list[int] = []

    def count(step: int) -> None:
        taken.append(len(objective.batches))

    for round in range(3):
        trainer.run(toy.cohort([1, 2, 1]), toy.plan(steps=4), toy.random(round), count)
    assert taken == [1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4]


@pytest.mark.parametrize("private", [False, True])
def test_what_an_objective_remembers_continues_bit_for_bit(toy, private, tmp_path) -> None:
    """Stopped between two rounds, saved as a round's result and resumed, against never stopped."""
    plan = toy.plan(steps=4, mechanism=toy.Gaussian(1.0, 0.5) if private else None)
    cohort = toy.cohort([1, 2, 3, 1])

    def rounds(save: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        networks, kept = toy.networks(), {}
        trainer = LocalTrainer((toy.Regression(), toy.Patient()), networks)
        outbox = Outbox(tmp_path)
        for round in range(4):
            if save:
                trainer = LocalTrainer((toy.Regression(), toy.Patient()), networks)
                load_state(trainer.optimizers, outbox.optimizer_before(round, "study"))
            trainer.run(cohort, plan, toy.random(round))
            kept = state_tensors(trainer.optimizers)
            result = RoundResult(torch.zeros(1), {}, kept)
            outbox.put(round, {"study": "study", "model": f"{round}"}, result)
        return weights(networks), kept

    (whole, state), (stopped, state_of_stopped) = rounds(save=False), rounds(save=True)
    assert torch.equal(stopped, whole)
    assert {"follower/memory/turns", "follower/memory/waited", "follower/memory/shown"} <= set(state)
    assert set(state_of_stopped) == set(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in state_of_stopped.items())


def test_a_turn_is_remembered_before_its_update(toy) -> None:
    seen = []

    class Watcher(toy.Patient):
        def remember(self, networks, draws, memory):
            seen.append(networks["second"].weight.detach().clone())
            return super().remember(networks, draws, memory)

    networks = toy.networks()
    before = networks["second"].weight.detach().clone()
    LocalTrainer((Watcher(),), networks).run(toy.cohort([1]), toy.plan(steps=1), toy.random())
    assert torch.equal(seen[0], before)
    assert not torch.equal(networks["second"].weight, before)


def test_what_touches_data_is_never_asked_when_it_is_due(toy) -> None:
    """The accountant counted its steps before the study began: nothing it may say changes them."""

    class Greedy(toy.Regression):
        def due(self, step, memory):
            raise AssertionError("asked")

        def remember(self, networks, draws, memory):
            raise AssertionError("asked")

    objective = Greedy(every=2)
    plan = toy.plan(steps=6, sampling_rate=1.0, mechanism=toy.Gaussian(1.0, 1.0))
    LocalTrainer((objective, toy.Patient()), toy.networks()).run(toy.cohort([1, 2]), plan, toy.random())
    assert len(objective.batches) == mechanism_steps((objective, toy.Patient()), 6) == 3


def test_no_moments_before_the_first_step(toy) -> None:
    trainer = LocalTrainer((toy.Regression(), toy.Follower()), toy.networks())
    assert state_tensors(trainer.optimizers) == {}
    load_state(trainer.optimizers, {})


def test_the_studys_learning_rate_replaces_the_familys(toy) -> None:
    assert LocalTrainer((toy.Regression(),), toy.networks()).optimizers["regression"].defaults["lr"] == 0.05
    trainer = LocalTrainer((toy.Regression(),), toy.networks(), learning_rate=0.2)
    assert trainer.optimizers["regression"].defaults["lr"] == 0.2
