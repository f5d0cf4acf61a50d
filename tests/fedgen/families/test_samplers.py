"""Samplers against flows that can be solved exactly, and against each other where they must agree."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedgen.families.parts.denoising.samplers import (
    Churn,
    churn_sampler,
    ddim_sampler,
    heun_sampler,
    sigma_steps,
)

#: Probability that a right sampler fails a test of its mean or its variance.
FALSE_ALARM = 1e-6
MEAN, STD = 0.3, 0.5


def test_sigma_steps_follow_equation_5() -> None:
    t = sigma_steps(18, 0.002, 80, 7)
    assert len(t) == 19
    assert t[0].item() == pytest.approx(80)
    assert t[17].item() == pytest.approx(0.002)
    assert t[18].item() == 0
    assert (t[:-1] > t[1:]).all()
    # Equal spacing in t^(1/rho).
    gaps = (t[:-1] ** (1 / 7)).diff()
    assert torch.allclose(gaps, gaps[0].expand_as(gaps))


def optimal_denoiser(mean: torch.Tensor, std: float):
    """E[y | x] for y ~ N(mean, std^2): the denoiser that minimises equation 2."""

    def denoiser(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        s2 = sigma.square()[:, None]
        return (std**2 * x + s2 * mean) / (std**2 + s2)

    return denoiser


def test_heun_recovers_a_gaussian() -> None:
    """The flow of a Gaussian is known: x_0 = mean + (x_T - mean) std / sqrt(std^2 + sigma_max^2)."""
    mean, std = torch.tensor([0.3, -0.7], dtype=torch.float64), 0.5
    noise = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = mean + (80 * noise - mean) * std / math.sqrt(std**2 + 80**2)
    errors = []
    for steps in (18, 36, 72):
        x = heun_sampler(optimal_denoiser(mean, std), noise, sigma_steps(steps, 0.002, 80, 7))
        errors.append((x - exact).abs().max().item())
    assert torch.allclose(x.mean(dim=0), mean, atol=0.02)
    assert torch.allclose(x.std(dim=0), torch.full((2,), std, dtype=torch.float64), atol=0.01)
    assert errors[2] < 0.01
    # Second order: halving the steps' length divides the error by about four.
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3


def test_heun_calls_the_denoiser_2n_minus_1_times() -> None:
    """Algorithm 1 makes no correction in the last step, to sigma = 0."""
    calls = []

    def denoiser(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        calls.append(sigma[0].item())
        return torch.zeros_like(x)

    heun_sampler(denoiser, torch.randn(1, 2), sigma_steps(5, 0.01, 10, 7))
    assert len(calls) == 9
    assert min(calls) == pytest.approx(0.01)


def gaussian(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """E[y | x] for y ~ N(MEAN, STD^2)."""
    return optimal_denoiser(torch.tensor([MEAN], dtype=torch.float64), STD)(x, sigma)


def start(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fresh_noise(n: int, seed: int = 1):
    rng = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(n, 1, generator=rng, dtype=torch.float64)


def no_noise() -> torch.Tensor:
    raise AssertionError("a deterministic sampler asked for noise")


def assert_gaussian(x: torch.Tensor) -> None:
    """Both tests of a sample of N(MEAN, STD^2): z of its mean, chi-squared of its variance about MEAN."""
    n = len(x)
    z = (x.mean().item() - MEAN) / (STD / math.sqrt(n))
    assert abs(z) < stats.norm.isf(FALSE_ALARM / 2)
    ratio = (x - MEAN).square().sum().item() / STD**2
    low, high = stats.chi2(n).ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2])
    assert low < ratio < high


SAMPLERS = {
    "heun": lambda x, t, fresh: heun_sampler(gaussian, x, t),
    "churn": lambda x, t, fresh: churn_sampler(gaussian, x, t, Churn(40.0, 0.01, 50.0, 1.0), fresh),
    "ddim": lambda x, t, fresh: ddim_sampler(gaussian, x, t, 0.0, fresh),
    "stochastic ddim": lambda x, t, fresh: ddim_sampler(gaussian, x, t, 1.0, fresh),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_recover_a_gaussian(name: str) -> None:
    # Ancestral steps lose spread in proportion to their length, so they need more of them.
    n, steps = 20_000, 1000 if name == "stochastic ddim" else 200
    x = SAMPLERS[name](start(n), sigma_steps(steps, 0.002, 80, 7), fresh_noise(n))
    assert_gaussian(x)


@pytest.mark.parametrize("name", ["churn", "stochastic ddim"])
def test_stochastic_samplers_forget_where_they_started(name: str) -> None:
    """All images from the same starting point still spread like the data: the noise on the way is real."""
    n = 20_000
    x = SAMPLERS[name](start(1).expand(n, 1), sigma_steps(200, 0.002, 80, 7), fresh_noise(n))
    assert x.std().item() == pytest.approx(STD, rel=0.25 if name == "churn" else 0.05)
    once = SAMPLERS["heun"](start(1).expand(n, 1), sigma_steps(200, 0.002, 80, 7), no_noise)
    assert once.std().item() < 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_churn_the_stochastic_sampler_is_heun_bit_for_bit(dtype: torch.dtype) -> None:
    noise, t = start(100).to(dtype), sigma_steps(18, 0.002, 80, 7)
    heun = heun_sampler(gaussian, noise, t)
    for churn in (Churn(0.0, 0.0, 100.0, 1.003), Churn(50.0, 200.0, 300.0, 1.003)):
        assert torch.equal(churn_sampler(gaussian, noise, t, churn, no_noise), heun)
    assert not torch.equal(
        churn_sampler(gaussian, noise, t, Churn(50.0, 0.0, 100.0, 1.0), lambda: start(100, 5).to(dtype)), heun
    )


@given(S_churn=st.floats(0, 1e4), t_i=st.floats(1e-3, 80), steps=st.integers(2, 1000))
def test_gamma_is_algorithm_2s(S_churn: float, t_i: float, steps: int) -> None:
    gamma = Churn(S_churn, 0.05, 50.0, 1.0).gamma(t_i, steps)
    assert gamma == (min(S_churn / steps, 2**0.5 - 1) if 0.05 <= t_i <= 50 else 0)


def test_one_step_of_churn_worked_by_hand() -> None:
    """Two levels, 2 and 1: noise up to t_hat = 2.5, then Heun from there to 1, then Euler to 0."""
    seen = []

    def denoiser(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        seen.append(sigma[0].item())
        return x / 2

    t = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)
    one, three = (torch.full((1, 1), v, dtype=torch.float64) for v in (1.0, 3.0))
    x = churn_sampler(denoiser, one, t, Churn(0.5, 1.5, 3.0, 2.0), lambda: three)
    x_hat = 2.0 + math.sqrt(2.5**2 - 2**2) * 2.0 * 3.0
    d = (x_hat / 2) / 2.5
    euler = x_hat - 1.5 * d
    corrected = x_hat - 1.5 * (d + euler / 2 / 1.0) / 2
    assert x.item() == pytest.approx(corrected - corrected / 2)
    assert seen == [2.5, 1.0, 1.0]


def test_deterministic_ddim_is_eulers_method() -> None:
    noise, t = start(50), sigma_steps(18, 0.002, 80, 7)
    x = noise * t[0]
    for t_i, t_next in itertools.pairwise(t):
        x = x + (t_next - t_i) * (x - gaussian(x, t_i.expand(50))) / t_i
    assert torch.allclose(ddim_sampler(gaussian, noise, t, 0.0, no_noise), x, atol=1e-12)


@given(t_i=st.floats(0.1, 80), share=st.floats(0.05, 0.95), eta=st.floats(0.05, 1))
def test_stochastic_ddim_adds_the_noise_of_equation_16(t_i: float, share: float, eta: float) -> None:
    """Song's sigma_t in terms of alpha, divided by sqrt(alpha of the next level) to come into EDM's scaling."""
    t_next = share * t_i
    alpha, alpha_next = 1 / (1 + t_i**2), 1 / (1 + t_next**2)
    sigma_t = eta * math.sqrt((1 - alpha_next) / (1 - alpha)) * math.sqrt(1 - alpha / alpha_next)
    x_0, x, z = 0.7, 1.9 * t_i, -1.3
    predicted_noise = (math.sqrt(alpha) * x - math.sqrt(alpha) * x_0) / math.sqrt(1 - alpha)
    expected = (
        math.sqrt(alpha_next) * x_0 + math.sqrt(1 - alpha_next - sigma_t**2) * predicted_noise + sigma_t * z
    ) / math.sqrt(alpha_next)
    t = torch.tensor([t_i, t_next, 0.0], dtype=torch.float64)
    seen = []

    def denoiser(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        seen.append(x.item())
        return torch.full_like(x, x_0)

    start_at = torch.full((1, 1), x / t_i, dtype=torch.float64)
    last = ddim_sampler(denoiser, start_at, t, eta, lambda: torch.full((1, 1), z, dtype=torch.float64))
    assert seen[1] == pytest.approx(expected, rel=1e-9)
    assert last.item() == pytest.approx(x_0)
