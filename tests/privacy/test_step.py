"""The private step: exact per-record gradients, one clip each, a public divisor, noise of the stated size."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from fedgen_privacy.gradients.vmap import per_record_gradients, vmapped
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.step import LOSS_SHARE, GaussianStep, clip_factors, clipped_sum

KEY = bytes(32)
Params = dict[str, Tensor]


def params_and_batch(records: int, seed: int = 0, scale: float = 1.0) -> tuple[Params, Params]:
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    params = {"w": normal(3, 5), "b": normal(3)}
    return params, {"x": scale * normal(records, 4, 5), "y": normal(records, 4, 3)}


def record_loss(params: Params, record: Params) -> Tensor:
    out = torch.sin(record["x"] @ params["w"].T + params["b"])
    return ((out - record["y"]) ** 2).mean()


def looped(params: Params, batch: Params) -> list[Params]:
    """Ordinary autograd, one record at a time."""
    result = []
    for i in range(batch["x"].shape[0]):
        leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
        loss = record_loss(leaves, {name: t[i] for name, t in batch.items()})
        result.append(dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True)))
    return result


def norm(gradient: Params) -> float:
    return math.sqrt(sum(float(g.square().sum()) for g in gradient.values()))


@given(st.integers(1, 9), st.integers(1, 10))
@settings(deadline=None, max_examples=25)
def test_per_record_gradients_equal_a_loop_whatever_the_chunk(records: int, chunk: int) -> None:
    params, batch = params_and_batch(records)
    pieces = list(per_record_gradients(record_loss, params, batch, chunk=chunk))
    expected = looped(params, batch)
    for name in params:
        got = torch.cat([gradients[name] for gradients, _ in pieces])
        assert torch.allclose(got, torch.stack([g[name] for g in expected]), rtol=1e-10, atol=1e-12)
    assert sum(losses.shape[0] for _, losses in pieces) == records


@given(st.floats(0.01, 10), st.floats(0.1, 100))
@settings(deadline=None, max_examples=25)
def test_the_clipped_sum_is_the_sum_of_clipped_gradients(bound: float, scale: float) -> None:
    params, batch = params_and_batch(6, scale=scale)
    summed = clipped_sum(vmapped(record_loss), params, batch, bound=bound, loss_bounds=(1e9,), chunk=4)
    expected = {name: torch.zeros_like(p) for name, p in params.items()}
    for gradient in looped(params, batch):
        factor = min(1.0, bound / norm(gradient))
        for name in params:
            expected[name] += factor * gradient[name]
    for name in params:
        assert torch.allclose(summed.gradients[name], expected[name], rtol=1e-9, atol=1e-12)


@given(st.floats(0.01, 10), st.floats(0.1, 100), st.integers(0, 5))
@settings(deadline=None, max_examples=25)
def test_one_record_moves_gradient_and_loss_together_by_at_most_the_clipping_norm(
    C: float, scale: float, left_out: int
) -> None:
    params, batch = params_and_batch(6, scale=scale)
    without = {name: torch.cat([t[:left_out], t[left_out + 1 :]]) for name, t in batch.items()}
    step = GaussianStep(C, 0.0, expected_batch=1.0, loss_bounds=(2.0,), chunk=3)
    a = step(vmapped(record_loss), params, batch, SecretRandom(KEY))
    b = step(vmapped(record_loss), params, without, SecretRandom(KEY))
    moved = norm({name: a.gradients[name] - b.gradients[name] for name in params})
    loss_coordinate = (a.losses[0] - b.losses[0]) * LOSS_SHARE * C / 2.0
    assert math.hypot(moved, loss_coordinate) <= C * (1 + 1e-6)


def test_the_divisor_is_the_expected_batch_not_the_number_of_records() -> None:
    params, batch = params_and_batch(6)
    step = GaussianStep(1e9, 0.0, expected_batch=16.0, loss_bounds=(10.0,), chunk=8)
    gradients = step(vmapped(record_loss), params, batch, SecretRandom(KEY)).gradients
    for name in params:
        assert torch.allclose(gradients[name], sum(g[name] for g in looped(params, batch)) / 16.0)


def test_an_empty_batch_is_noised_like_any_other() -> None:
    params, batch = params_and_batch(6)
    step = GaussianStep(1.0, 2.0, expected_batch=4.0, loss_bounds=(1.0,), chunk=8)
    empty = step(vmapped(record_loss), params, None, SecretRandom(KEY))
    full = step(vmapped(record_loss), params, batch, SecretRandom(KEY))
    still = GaussianStep(1.0, 0.0, expected_batch=4.0, loss_bounds=(1.0,), chunk=8)
    signal = still(vmapped(record_loss), params, batch, SecretRandom(KEY))
    for name in params:
        assert empty.gradients[name].abs().min() > 0
        assert torch.allclose(full.gradients[name] - signal.gradients[name], empty.gradients[name], atol=1e-6)


@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_noise_has_the_stated_standard_deviation(sigma: float) -> None:
    params = {"w": torch.zeros(60_000, dtype=torch.float64)}
    C, B = 0.7, 5.0
    step = GaussianStep(C, sigma, expected_batch=B, loss_bounds=(1.0,), chunk=8)
    noise = step(vmapped(record_loss), params, None, SecretRandom(KEY)).gradients["w"].numpy()
    assert stats.kstest(noise / (sigma * C / B), "norm").pvalue > 1e-3


def test_the_reported_loss_has_the_stated_noise() -> None:
    params, batch = params_and_batch(6)
    exact = sum(float(record_loss(params, {k: t[i] for k, t in batch.items()})) for i in range(6)) / 8.0
    step = GaussianStep(1.0, 1.5, expected_batch=8.0, loss_bounds=(20.0,), chunk=8)
    random = SecretRandom(KEY)
    reports = [step(vmapped(record_loss), params, batch, random) for _ in range(400)]
    scaled = [(report.losses[0] - exact) / report.loss_stds[0] for report in reports]
    assert stats.kstest(scaled, "norm").pvalue > 1e-3


def test_a_record_with_a_gradient_that_is_not_finite_contributes_nothing() -> None:
    params, batch = params_and_batch(6)
    poisoned = {name: t.clone() for name, t in batch.items()}
    poisoned["x"][2] = float("nan")
    poisoned["y"][4] = float("inf")
    clean = {name: t[[0, 1, 3, 5]] for name, t in batch.items()}
    a = clipped_sum(vmapped(record_loss), params, poisoned, bound=1.0, loss_bounds=(1.0,), chunk=4)
    b = clipped_sum(vmapped(record_loss), params, clean, bound=1.0, loss_bounds=(1.0,), chunk=4)
    for name in params:
        assert torch.allclose(a.gradients[name], b.gradients[name])
    assert float(a.losses[0] - b.losses[0]) <= 2.0


def test_a_zero_gradient_is_not_scaled_up() -> None:
    factors = clip_factors({"w": torch.zeros(3, 4)}, 1.0)
    assert torch.equal(factors, torch.ones(3))


def test_clipping_images_instead_of_patients_breaks_the_bound() -> None:
    """The sensitivity test above can fail: records clipped by halves move the sum by up to 2 C."""
    params, batch = params_and_batch(1, scale=50.0)
    halves = {name: t.reshape(2, 2, *t.shape[2:]) for name, t in batch.items()}
    C = 1e-3
    summed = clipped_sum(vmapped(record_loss), params, halves, bound=C, loss_bounds=(1.0,), chunk=4)
    assert norm(summed.gradients) > C * (1 + 1e-3)
