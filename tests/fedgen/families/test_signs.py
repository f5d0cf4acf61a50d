"""By what a denoiser gives its training records away, against the formulas of the papers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fedgen.families.parts.denoising.ddpm import ddpm_sigma
from fedgen.families.parts.denoising.signs import LEVELS, NOISES, TIMES, minus_errors, step_errors
from fedgen.families.parts.noise_records import noise_records
from fedgen.families.registry import family_class, specs
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import image_of_class


def bent(x: Tensor, sigma: Tensor) -> Tensor:
    """A denoiser that is not linear, whose error differs from image to image."""
    return torch.tanh(x) / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


def test_the_steps_are_those_of_ddim_both_ways() -> None:
    """In the words of the paper: x_s = sqrt(a_s) f(x_t) + sqrt(1 - a_s) eps(x_t, t), f the image that is foreseen."""
    x0 = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sigmas = [math.sqrt(math.expm1(19.9 * t * t / 2 + 0.1 * t)) for t in TIMES.tolist()]
    alphas = [1 / (1 + sigma**2) for sigma in sigmas]

    def step(x: Tensor, here: int, there: int) -> Tensor:
        a, b = alphas[here], alphas[there]
        foreseen = bent(x / math.sqrt(a), torch.full((3,), sigmas[here], dtype=torch.float64))
        noise = (x - math.sqrt(a) * foreseen) / math.sqrt(1 - a)
        return math.sqrt(b) * foreseen + math.sqrt(1 - b) * noise

    x = math.sqrt(alphas[0]) * x0
    for k in range(len(sigmas) - 2):
        x = step(x, k, k + 1)
    missed = step(step(x, -2, -1), -1, -2) - x
    expected = (missed**2).flatten(1).mean(dim=1) / (1 - alphas[-2])
    torch.testing.assert_close(step_errors(bent, x0), expected)
    assert ddpm_sigma(TIMES)[-2] == pytest.approx(sigmas[-2])


def test_a_flow_that_is_straight_is_not_missed() -> None:
    """The denoiser that knows one image alone leads to it along a line."""
    known = torch.ones(1, 1, 4, 4)
    error = step_errors(lambda x, sigma: known.expand_as(x), torch.randn(2, 1, 4, 4))
    assert error.max() < 1e-9


@pytest.mark.parametrize("parametrization", ["edm", "v"])
def test_errors_are_the_loss_at_fixed_levels(parametrization: str, perturbed) -> None:
    small = specs()["diffusion"].small.model_dump()
    linear = parametrization == "edm" and small["linear_denoisers"]
    options = specs()["diffusion"].options(
        **{**small, "parametrization": parametrization, "linear_denoisers": linear}
    )
    task = image_of_class(ImageSpec(channels=1, size=(16, 16)), ("a", "b", "c"))
    family = family_class("diffusion")(task, options)
    networks = perturbed(family)
    records = noise_records(task, (1, 2, 1), torch.Generator().manual_seed(0))
    rng = torch.Generator()
    with torch.no_grad():
        whole = minus_errors(family.scored, networks, records, chunk=32, rng=rng.manual_seed(1))
        again = minus_errors(family.scored, networks, records, chunk=1, rng=rng.manual_seed(1))
        drawn = family.scored.draw(1, 2, LEVELS * NOISES, rng.manual_seed(1))
        p = family.scored.parametrization
        for k in (0, LEVELS - 1):
            own = {
                name: draw[:, :, k * NOISES : (k + 1) * NOISES].expand(3, *[-1] * (draw.ndim - 1))
                for name, draw in drawn.items()
            }
            own["level"] = torch.full((3, 2, NOISES), float(p.quantile(torch.tensor((k + 0.5) / LEVELS))))
            torch.testing.assert_close(whole[:, k], -family.scored.loss(networks, records, own))
    torch.testing.assert_close(whole, again, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole.mean(dim=1), family.score(networks, records, rng.manual_seed(1)))
    shares = (torch.arange(LEVELS) + 0.5) / LEVELS
    drawn = p.draw((20000,), rng.manual_seed(2))
    found = (drawn[:, None] < p.quantile(shares)).float().mean(dim=0)
    assert (found - shares).abs().max() < 0.02
