"""v-prediction against Salimans and Ho 2022 and the definitions of DPDM."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedgen.families.parts.denoising.edm import denoise, loss_weight, precondition
from fedgen.families.parts.denoising.parametrization import EDM, VPrediction
from fedgen.families.parts.denoising.v_prediction import v_loss_weight, v_precondition, v_training_sigma

sigmas = st.floats(0.0015, 90)


def of(sigma: float) -> torch.Tensor:
    return torch.tensor([sigma], dtype=torch.float64)


@given(sigma=sigmas)
def test_the_functions_are_dpdms(sigma: float) -> None:
    c = v_precondition(of(sigma))
    assert c.c_skip.item() == pytest.approx(1 / (sigma**2 + 1))
    assert c.c_out.item() == pytest.approx(sigma / math.sqrt(1 + sigma**2))
    assert c.c_in.item() == pytest.approx(1 / math.sqrt(1 + sigma**2))
    # arccos loses half of float64's digits where its argument is near 1
    assert c.c_noise.item() == pytest.approx(2 / math.pi * math.acos(1 / math.sqrt(1 + sigma**2)), abs=1e-7)
    assert v_loss_weight(of(sigma)).item() == pytest.approx((sigma**2 + 1) / sigma**2)


@given(sigma=sigmas, y=st.floats(-1, 1), n=st.floats(-4, 4))
def test_the_network_that_predicts_minus_v_denoises_perfectly(sigma: float, y: float, n: float) -> None:
    """v = alpha_t n - sigma_t y of the variance-preserving z = alpha_t y + sigma_t n (Salimans and Ho, section 4)."""
    alpha_t, sigma_t = 1 / math.sqrt(1 + sigma**2), sigma / math.sqrt(1 + sigma**2)
    z, v = alpha_t * y + sigma_t * n, alpha_t * n - sigma_t * y
    seen = []

    def network(scaled: torch.Tensor, c_noise: torch.Tensor) -> torch.Tensor:
        seen.append(scaled.item())
        return torch.full_like(scaled, -v)

    x = torch.full((1, 1), y + sigma * n, dtype=torch.float64)
    D = denoise(network, x, v_precondition(of(sigma)))
    assert seen[0] == pytest.approx(z, abs=1e-9)
    assert D.item() == pytest.approx(y, abs=1e-9)
    # their own inversion: y = alpha_t z - sigma_t v
    assert D.item() == pytest.approx(alpha_t * z - sigma_t * v, abs=1e-9)


@given(sigma=sigmas)
def test_inputs_and_targets_of_unit_data_have_unit_variance_and_weight(sigma: float) -> None:
    c = v_precondition(of(sigma))
    assert (c.c_in**2 * (sigma**2 + 1)).item() == pytest.approx(1)
    target = ((1 - c.c_skip) ** 2 + c.c_skip**2 * sigma**2) / c.c_out**2
    assert target.item() == pytest.approx(1, rel=1e-6)
    assert (v_loss_weight(of(sigma)) * c.c_out**2).item() == pytest.approx(1)


@given(sigma=sigmas)
def test_but_for_c_noise_it_is_edm_of_unit_data(sigma: float) -> None:
    v, edm = v_precondition(of(sigma)), precondition(of(sigma), 1.0)
    assert torch.allclose(torch.cat(v[:3]), torch.cat(edm[:3]))
    assert torch.allclose(v_loss_weight(of(sigma)), loss_weight(of(sigma), 1.0))


def test_the_angle_of_training_is_uniform_over_the_range_of_the_log_snr() -> None:
    ends = v_training_sigma(torch.tensor([0.0, 1.0], dtype=torch.float64), -9, 13)
    assert (-2 * ends.log()).tolist() == pytest.approx([13, -9])
    u = torch.rand(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = v_precondition(v_training_sigma(u, -9, 13)).c_noise
    low, high = (2 / math.pi * math.acos(1 / math.sqrt(1 + math.exp(-snr))) for snr in (13, -9))
    assert torch.allclose(t, low + u * (high - low))


@pytest.mark.parametrize("parametrization", [EDM(0.5, -0.4, 1.2), VPrediction()])
def test_levels_are_positive_and_finite_in_single_precision(parametrization) -> None:
    drawn = parametrization.draw((4, 3, 5000), torch.Generator().manual_seed(0))
    assert drawn.shape == (4, 3, 5000)
    sigma = parametrization.training_sigma(drawn)
    assert (sigma > 0).all()
    assert sigma.isfinite().all()
    assert parametrization.loss_weight(sigma).isfinite().all()
    assert all(c.isfinite().all() for c in parametrization.precondition(sigma))
