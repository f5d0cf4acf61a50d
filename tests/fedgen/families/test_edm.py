"""EDM against the paper's statements: table 1's scalings and unit variances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedgen.families.parts.denoising.edm import denoise, loss_weight, precondition, training_sigma


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


def test_denoise_of_a_network_of_zero_is_the_skip() -> None:
    x = torch.randn(3, 1, 4, 4)
    sigma = torch.tensor([0.1, 1.0, 10.0])
    D = denoise(lambda x, c: torch.zeros_like(x), x, precondition(sigma, 0.5))
    assert torch.allclose(D, x * (0.25 / (sigma**2 + 0.25))[:, None, None, None])


def test_denoise_gives_the_network_scaled_images_and_c_noise() -> None:
    seen = []
    x, sigma = torch.ones(2, 1, 2, 2), torch.tensor([0.5, 2.0])

    def network(scaled: torch.Tensor, c_noise: torch.Tensor) -> torch.Tensor:
        seen.append((scaled, c_noise))
        return scaled

    denoise(network, x, precondition(sigma, 0.5))
    assert torch.allclose(seen[0][0][:, 0, 0, 0], 1 / (sigma**2 + 0.25).sqrt())
    assert torch.allclose(seen[0][1], sigma.log() / 4)
