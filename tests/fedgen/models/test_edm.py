"""EDM against the paper's statements: table 1's scalings, unit variances, and an exactly solvable flow."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedgen.models.edm import (
    denoise,
    heun_sampler,
    loss_weight,
    precondition,
    sigma_steps,
    training_sigma,
)


def test_preconditioning_at_a_sigma_worked_by_hand() -> None:
    # sigma = 1.5, sigma_data = 2: sigma^2 + sigma_data^2 = 6.25, whose root is 2.5.
    c = precondition(torch.tensor([1.5], dtype=torch.float64), 2.0)
    assert c.c_skip.item() == pytest.approx(4 / 6.25)
    assert c.c_out.item() == pytest.approx(1.5 * 2 / 2.5)
    assert c.c_in.item() == pytest.approx(0.4)
    assert c.c_noise.item() == pytest.approx(math.log(1.5) / 4)
    assert loss_weight(torch.tensor([1.5], dtype=torch.float64), 2.0).item() == pytest.approx(6.25 / 9)


@given(sigma=st.floats(0.002, 80), sigma_data=st.floats(0.1, 2))
def test_preconditioning_keeps_unit_variances(sigma: float, sigma_data: float) -> None:
    """Appendix B.6: what enters F and what F must give have variance 1, and the effective weight is 1."""
    s = torch.tensor([sigma], dtype=torch.float64)
    c = precondition(s, sigma_data)
    assert (c.c_in**2 * (s**2 + sigma_data**2)).item() == pytest.approx(1)
    # The target (y - c_skip (y + n)) / c_out has this variance for independent y and n.
    target = ((1 - c.c_skip) ** 2 * sigma_data**2 + c.c_skip**2 * s**2) / c.c_out**2
    assert target.item() == pytest.approx(1, rel=1e-6)
    assert (loss_weight(s, sigma_data) * c.c_out**2).item() == pytest.approx(1)


def test_training_sigma_is_log_normal() -> None:
    normal = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_sigma = training_sigma(normal, -1.2, 1.2).log()
    assert log_sigma.mean().item() == pytest.approx(-1.2, abs=0.01)
    assert log_sigma.std().item() == pytest.approx(1.2, abs=0.01)


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


def test_denoise_of_a_network_of_zero_is_the_skip() -> None:
    x = torch.randn(3, 1, 4, 4)
    sigma = torch.tensor([0.1, 1.0, 10.0])
    D = denoise(lambda x, c: torch.zeros_like(x), x, sigma, 0.5)
    assert torch.allclose(D, x * (0.25 / (sigma**2 + 0.25))[:, None, None, None])


def test_denoise_gives_the_network_scaled_images_and_c_noise() -> None:
    seen = []
    x, sigma = torch.ones(2, 1, 2, 2), torch.tensor([0.5, 2.0])

    def network(scaled: torch.Tensor, c_noise: torch.Tensor) -> torch.Tensor:
        seen.append((scaled, c_noise))
        return scaled

    denoise(network, x, sigma, 0.5)
    assert torch.allclose(seen[0][0][:, 0, 0, 0], 1 / (sigma**2 + 0.25).sqrt())
    assert torch.allclose(seen[0][1], sigma.log() / 4)


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
