"""The linear parts beside the UNet and the decoders: exact where linear algebra says what they must give."""

from __future__ import annotations

import pytest
import torch

from fedgen.families.parts.blocks import LinearImage, he_initialise
from fedgen.families.parts.denoising.edm import denoise, precondition
from fedgen.families.parts.denoising.linear_denoisers import AffineDenoiser, WienerFilter, bands
from fedgen.families.parts.grids import upsample
from fedgen.task.image_spec import ImageSpec


def test_bands_sum_to_the_image_and_separate_scales() -> None:
    x = torch.randn(2, 1, 32, 24, generator=torch.Generator().manual_seed(0))
    parts = bands(x, 3)
    assert len(parts) == 4
    assert torch.allclose(sum(parts), x, atol=1e-5)
    constant = bands(torch.full((1, 1, 16, 16), 0.7), 2)
    assert all(part.abs().max() < 1e-6 for part in constant[:-1])
    assert torch.allclose(constant[-1], torch.full((1, 1, 16, 16), 0.7))
    checkerboard = 1 - 2 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2).float()[None, None]
    assert torch.allclose(bands(checkerboard, 2)[0], checkerboard)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 5.0])
def test_wiener_filter_multiplies_each_band_by_r_over_r_plus_sigma_squared(sigma: float) -> None:
    sigma_data = 0.5
    network = WienerFilter(ImageSpec(channels=1, size=(16, 16)), sigma_data).double()
    with torch.no_grad():
        network.log_power.copy_(torch.linspace(-0.2, 0.3, network.log_power.numel())[:, None])
    x = torch.randn(3, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    D = denoise(network, x, precondition(torch.full((3,), sigma, dtype=torch.float64), sigma_data))
    expected = torch.zeros_like(x)
    for octave, band in enumerate(bands(x, network.octaves)):
        r = sigma_data**2 * 8.0 ** (octave - 3) * torch.exp(10 * network.log_power[octave, 0])
        expected = expected + r / (r + sigma**2) * band
    assert torch.allclose(D, expected)


def test_wiener_filter_learns_the_spectrum_of_smooth_images() -> None:
    """Trained on images smooth over four pixels, it must pass their bands and not the finest."""
    rng = torch.Generator().manual_seed(0)
    network = WienerFilter(ImageSpec(channels=1, size=(16, 16)), 0.5)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        y = upsample(torch.randn(16, 1, 4, 4, generator=rng), 4) / 2
        noisy = y + 0.2 * torch.randn(y.shape, generator=rng)
        D = denoise(network, noisy, precondition(torch.full((16,), 0.2), 0.5))
        optimizer.zero_grad()
        (D - y).square().mean().backward()
        optimizer.step()
    r = 0.25 * 8.0 ** (torch.arange(5) - 3) * torch.exp(10 * network.log_power[:, 0])
    g = r / (r + 0.2**2)
    assert g[0] < 0.15
    assert (g[2:] > 0.7).all()
    # The third band started near 0.44: it was learned.
    assert network.log_power[2] > 0.1


def test_affine_denoiser_starts_at_zero_and_sees_label_and_noise() -> None:
    network = AffineDenoiser(ImageSpec(channels=1, size=(16, 24)), condition=3)
    x, c_noise, labels = torch.randn(2, 1, 16, 24), torch.tensor([0.1, -1.0]), torch.eye(3)[[0, 2]]
    assert torch.equal(network(x, c_noise, labels), torch.zeros(2, 1, 16, 24))
    torch.manual_seed(0)
    torch.nn.init.normal_(network.write.weight)
    before = network(x, c_noise, labels)
    assert before.shape == (2, 1, 16, 24)
    assert not torch.allclose(before, network(x, c_noise, labels.flip(0)))
    assert not torch.allclose(before, network(x, c_noise.flip(0), labels))
    assert not torch.allclose(before, network(x.flip(0), c_noise, labels))


@pytest.mark.parametrize("reduction", [2, 8])
def test_linear_image_is_linear_and_starts_at_zero(reduction: int) -> None:
    image = LinearImage(5, ImageSpec(channels=3, size=(16, 24)), reduction=reduction, gain=3.0)
    z = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(image(z), torch.zeros(4, 3, 16, 24))
    torch.manual_seed(0)
    torch.nn.init.normal_(image.linear.weight)
    assert torch.allclose(image(z[:1] + 2 * z[1:2]), image(z[:1]) + 2 * image(z[1:2]), atol=1e-4)
    with torch.no_grad():
        image.linear.weight.zero_()
        image.linear.bias.fill_(0.5)
    assert torch.allclose(image(z), torch.full((4, 3, 16, 24), 1.5))


def test_he_initialisation_keeps_the_size_of_activations() -> None:
    torch.manual_seed(0)
    layers = [m for _ in range(8) for m in (torch.nn.Conv2d(32, 32, 3, padding=1), torch.nn.LeakyReLU(0.2))]
    network = torch.nn.Sequential(*layers)
    x = torch.randn(4, 32, 16, 16)
    shrunk = network(x).square().mean()
    he_initialise(network)
    kept = network(x).square().mean()
    assert shrunk < 0.05
    assert 0.2 < kept < 3
