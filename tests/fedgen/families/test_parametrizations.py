"""Every sampler with every parametrization on distributions whose best denoiser is known, and MONAI's schedulers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.networks.schedulers import DDIMScheduler, PNDMScheduler, RFlowScheduler
from scipy import stats
from torch import Tensor

from fedgen.families.parts.denoising.ddpm import ddpm_sigma, ddpm_time, ddpm_training_sigma
from fedgen.families.parts.denoising.edm import denoise, per_row
from fedgen.families.parts.denoising.multistep import dpm_sampler, pndm_sampler
from fedgen.families.parts.denoising.options import DenoisingOptions
from fedgen.families.parts.denoising.parametrization import parametrization_of
from fedgen.families.parts.denoising.rectified_flow import flow_time, flow_training_sigma
from fedgen.families.parts.denoising.samplers import ddim_sampler, heun_sampler, sigma_steps
from fedgen.families.parts.denoising.solver import solved

#: Probability that a right sampler fails one of a test's comparisons.
FALSE_ALARM = 1e-7

#: The noise level that each parametrization's c_noise stands for, solved by hand.
SIGMA_OF: dict[str, Callable[[Tensor], Tensor]] = {
    "edm": lambda c: (4 * c).exp(),
    "v": lambda c: (c * math.pi / 2).tan(),
    "ddpm": lambda c: ((19.9 * c**2 / 2 + 0.1 * c).exp() - 1).sqrt(),
    "flow": lambda c: c / (1 - c),
}
#: What the network has to say of y and n at each noise level.
TARGET: dict[str, Callable[[float, float, float], float]] = {
    "ddpm": lambda y, n, s: n,
    "flow": lambda y, n, s: n - y,
    "v": lambda y, n, s: (s * y - n) / math.sqrt(1 + s**2),
}
#: Steps after which what is left of a sampler's error is far below the test's.
STEPS = {"heun": 50, "churn": 100, "ddim": 200, "ancestral": 400, "dpm": 50, "pndm": 50}


class Mixture:
    """Gaussians in the plane, and E[y | x] of them under noise."""

    def __init__(self, shares: list[float], means: list[list[float]], roots: list[list[list[float]]]) -> None:
        self.shares, self.means, roots_ = (
            torch.tensor(v, dtype=torch.float64) for v in (shares, means, roots)
        )
        self.covariances = roots_ @ roots_.transpose(1, 2)
        self.powers, self.axes = torch.linalg.eigh(self.covariances)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        noisy = self.powers + sigma.square()[:, None, None]
        along = torch.einsum("nkd,kde->nke", x[:, None, :] - self.means, self.axes)
        log = self.shares.log() - (along.square() / noisy + noisy.log()).sum(dim=-1) / 2
        each = self.means + torch.einsum("nke,kde->nkd", along * self.powers / noisy, self.axes)
        return (log.softmax(dim=1)[..., None] * each).sum(dim=1)

    def moments(self) -> list[float]:
        mean = (self.shares[:, None] * self.means).sum(0)
        second = (
            self.shares[:, None, None] * (self.covariances + self.means[:, :, None] * self.means[:, None])
        ).sum(0)
        return [*mean.tolist(), second[0, 0].item(), second[0, 1].item(), second[1, 1].item()]


TRUTHS = {
    "gaussian": Mixture([1.0], [[0.3, -0.4]], [[[0.5, 0.0], [0.3, 0.2]]]),
    "mixture": Mixture(
        [0.3, 0.7], [[-0.8, 0.2], [0.6, -0.3]], [[[0.1, 0.0], [0.05, 0.2]], [[0.2, 0.0], [-0.1, 0.1]]]
    ),
}


def exact_denoiser(truth: Mixture, name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The denoiser of the network that is right everywhere, which is told c_in x and c_noise and no more."""
    p = parametrization_of(DenoisingOptions(parametrization=name, linear_denoisers=False))

    def network(scaled: Tensor, c_noise: Tensor) -> Tensor:
        sigma = SIGMA_OF[name](c_noise)
        c = p.precondition(sigma)
        x = scaled / per_row(c.c_in, scaled)
        return (truth(x, sigma) - per_row(c.c_skip, x) * x) / per_row(c.c_out, x)

    return lambda x, sigma: denoise(network, x, p.precondition(sigma))


def noise_of(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_moments(x: Tensor, truth: Mixture) -> None:
    """Means and second moments within what a sample of this size may be off."""
    statistics = [x[:, 0], x[:, 1], x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2]
    for found, expected in zip(statistics, truth.moments(), strict=True):
        z = (found.mean().item() - expected) / (found.std().item() / math.sqrt(len(x)))
        assert abs(z) < stats.norm.isf(FALSE_ALARM / 2)


@pytest.mark.parametrize(
    ("parametrization", "truth"), [("edm", "gaussian"), *((name, "mixture") for name in SIGMA_OF)]
)
@pytest.mark.parametrize("sampler", STEPS)
def test_every_sampler_draws_from_the_truth(sampler: str, parametrization: str, truth: str) -> None:
    n = 1000
    o = DenoisingOptions(
        sampler="ddim" if sampler == "ancestral" else sampler,
        eta=1.0 if sampler == "ancestral" else 0.0,
        sampler_steps=STEPS[sampler],
        parametrization=parametrization,
        linear_denoisers=False,
        S_churn=20.0,
    )
    fresh = torch.Generator().manual_seed(1)
    x = solved(
        exact_denoiser(TRUTHS[truth], parametrization),
        noise_of(n),
        lambda: torch.randn(n, 2, generator=fresh, dtype=torch.float64),
        o,
    )
    assert_moments(x, TRUTHS[truth])
    if truth == "mixture":
        # and no image between the two: the right share is on either side of the line that parts them
        first = (x[:, 0] < -0.3).double().mean().item()
        assert first == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / n) + 0.002)


def test_moments_notice_a_wrong_sampler() -> None:
    """The check above is no formality: with the noise level misread by a half it fails."""
    truth = TRUTHS["gaussian"]
    wrong = heun_sampler(lambda x, s: truth(x, 1.5 * s), noise_of(2000), sigma_steps(100, 0.002, 80, 7))
    with pytest.raises(AssertionError):
        assert_moments(wrong, truth)


@given(name=st.sampled_from(sorted(TARGET)), s=st.floats(0.01, 80), y=st.floats(-1, 1), n=st.floats(-4, 4))
def test_a_network_that_says_the_papers_target_denoises_perfectly(
    name: str, s: float, y: float, n: float
) -> None:
    p = parametrization_of(DenoisingOptions(parametrization=name, linear_denoisers=False))
    x, sigma = torch.full((1, 1), y + s * n, dtype=torch.float64), torch.tensor([s], dtype=torch.float64)
    D = denoise(lambda x, c: torch.full_like(x, TARGET[name](y, n, s)), x, p.precondition(sigma))
    assert D.item() == pytest.approx(y, abs=1e-9)
    assert (p.loss_weight(sigma) * p.precondition(sigma).c_out ** 2).item() == pytest.approx(1)


@given(s=st.floats(1e-3, 150))
def test_time_and_noise_level_are_each_others_inverse(s: float) -> None:
    sigma = torch.tensor([s], dtype=torch.float64)
    assert ddpm_sigma(ddpm_time(sigma)).item() == pytest.approx(s, rel=1e-6)
    t = flow_time(sigma).item()
    assert t / (1 - t) == pytest.approx(s)


def test_noise_levels_of_training_are_uniform_in_their_time() -> None:
    uniform = torch.linspace(0, 1 - 1e-9, 1001, dtype=torch.float64)
    assert torch.allclose(ddpm_time(ddpm_training_sigma(uniform)), 1e-5 + uniform * (1 - 1e-5), atol=1e-9)
    flow = flow_training_sigma(uniform, 0.002, 80.0)
    assert flow[0].item() == pytest.approx(0.002)
    assert flow[-1].item() == pytest.approx(80)
    assert torch.allclose(flow_time(flow).diff(), flow_time(flow).diff()[0].expand(1000))


def test_ddpms_schedule_is_monais() -> None:
    """1000 steps of the linear schedule, in continuous time: equal up to the step's own length."""
    alphas = DDIMScheduler(1000, "linear_beta", beta_start=1e-4, beta_end=2e-2).alphas_cumprod.double()
    sigma = ((1 - alphas) / alphas).sqrt()
    t = (torch.arange(1000, dtype=torch.float64) + 1) / 1000
    assert torch.allclose(ddpm_sigma(t), sigma, rtol=0.06)


SCHEDULE = {"schedule": "linear_beta", "beta_start": 1e-4, "beta_end": 2e-2}


def levels(scheduler: DDIMScheduler | PNDMScheduler) -> tuple[list[int], Tensor]:
    """Twenty timesteps as far apart as a scheduler's own steps are, and their noise levels with 0 behind them."""
    timesteps = list(range(950, -1, -50))
    alphas = scheduler.alphas_cumprod.double()[timesteps]
    return timesteps, torch.cat([((1 - alphas) / alphas).sqrt(), torch.zeros(1, dtype=torch.float64)])


def epsilon(truth: Mixture, x_vp: Tensor, sigma: Tensor) -> Tensor:
    """The noise in the variance-preserving x, as MONAI's networks predict it."""
    x = x_vp * (1 + sigma**2).sqrt()
    return (x - truth(x, sigma.expand(len(x)))) / sigma


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ddim_is_monais(eta: float) -> None:
    truth, n = TRUTHS["mixture"], 50
    scheduler = DDIMScheduler(1000, clip_sample=False, **SCHEDULE)
    scheduler.set_timesteps(20)
    timesteps, t = levels(scheduler)
    start = noise_of(n)
    x, rng = start * t[0] / (1 + t[0] ** 2).sqrt(), torch.Generator().manual_seed(3)
    for step, sigma in zip(timesteps, t, strict=False):
        # The last one is without noise in ours, where none is left to add.
        x = scheduler.step(epsilon(truth, x, sigma), step, x, eta if step else 0.0, rng)[0]
    same = torch.Generator().manual_seed(3)
    fresh = lambda: torch.randn(n, 2, generator=same, dtype=torch.float64)  # noqa: E731
    assert torch.allclose(ddim_sampler(truth, start, t, eta, fresh), x, atol=1e-4)


def test_pndm_is_monais() -> None:
    truth = TRUTHS["mixture"]
    scheduler = PNDMScheduler(1000, skip_prk_steps=True, set_alpha_to_one=True, **SCHEDULE)
    scheduler.set_timesteps(20)
    timesteps, t = levels(scheduler)
    start = noise_of(50)
    x = start * t[0] / (1 + t[0] ** 2).sqrt()
    # The second twice: first to correct the first step, then to go on from there.
    for step in [timesteps[0], timesteps[1], *timesteps[1:]]:
        x = scheduler.step(epsilon(truth, x, t[timesteps.index(step)]), step, x)[0]
    assert torch.allclose(pndm_sampler(truth, start, t), x, atol=1e-4)


def test_eulers_steps_of_the_flow_are_monais() -> None:
    """MONAI's velocity is y - n, and its time runs from 1000 down."""
    truth, start = TRUTHS["mixture"], noise_of(50)
    scheduler = RFlowScheduler(1000)
    scheduler.set_timesteps(20)
    # From t = 0.95 on: at 1 a noise level would be infinite.
    times = scheduler.timesteps.tolist()[1:]
    t = torch.tensor([*(s / (1000 - s) for s in times), 0.0], dtype=torch.float64)
    x = start * t[0] / (1 + t[0])
    for (step, after), sigma in zip(itertools.pairwise([*times, 0]), t, strict=False):
        y = truth(x * (1 + sigma), sigma.expand(len(x)))
        n = (x * (1 + sigma) - y) / sigma
        x = scheduler.step(y - n, step, x, after)[0]
    assert torch.allclose(ddim_sampler(truth, start, t, 0.0, lambda: start), x, atol=1e-6)


@pytest.mark.parametrize(("sampler", "extra"), [(dpm_sampler, 0), (pndm_sampler, 1)])
def test_multistep_samplers_call_the_network_once_a_step(sampler, extra: int) -> None:
    calls: list[float] = []

    def counting(x: Tensor, sigma: Tensor) -> Tensor:
        calls.append(sigma[0].item())
        return torch.zeros_like(x)

    sampler(counting, torch.randn(1, 2), sigma_steps(6, 0.01, 10, 7))
    assert len(calls) == 6 + extra
    assert min(calls) == pytest.approx(0.01)


@pytest.mark.parametrize("sampler", [dpm_sampler, pndm_sampler])
def test_multistep_samplers_are_of_second_order(sampler) -> None:
    """The flow of a Gaussian is known: x_0 = mean + (x_T - mean) std / sqrt(std^2 + sigma_max^2)."""
    mean, std = torch.tensor([0.3, -0.7], dtype=torch.float64), 0.5
    noise = noise_of(2000)

    def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
        s2 = sigma.square()[:, None]
        return (std**2 * x + s2 * mean) / (std**2 + s2)

    exact = mean + (80 * noise - mean) * std / math.sqrt(std**2 + 80**2)
    errors = [
        (sampler(denoiser, noise, sigma_steps(n, 0.002, 80, 7)) - exact).abs().max().item()
        for n in (20, 40, 80)
    ]
    assert errors[2] < 0.02
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3


def test_one_multistep_of_dpm_worked_by_hand() -> None:
    """Levels 4, 2, 1: h = ln 2 twice, so that the second step leans 3/2 to the newest and -1/2 to the one before."""
    answers = iter([1.0, 0.4])
    t = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
    x = dpm_sampler(lambda x, s: torch.full_like(x, next(answers)), torch.ones(1, 1, dtype=torch.float64), t)
    first = 0.5 * 4.0 + 0.5 * 1.0
    assert x.item() == pytest.approx(0.5 * first + 0.5 * (1.5 * 0.4 - 0.5 * 1.0))
