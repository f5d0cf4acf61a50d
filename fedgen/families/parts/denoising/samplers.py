"""From noise to images with a trained denoiser: Heun, churn (Karras et al. 2022) and DDIM (Song et al. 2021).

Names are the papers'. Every function is pure: what noise a stochastic sampler adds is an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor

from fedgen.families.parts.denoising.edm import Denoiser

#: Gives standard normal numbers of the images' shape, new ones at each call.
FreshNoise = Callable[[], Tensor]


@dataclass(frozen=True)
class Churn:
    """How much noise algorithm 2 adds on the way, and between which noise levels.

    Attributes:
        S_churn: noise added over the whole way; 0 adds none.
        S_min: lowest noise level at which some is added.
        S_max: highest noise level at which some is added.
        S_noise: its standard deviation; slightly above 1 makes good for a denoiser that removes too much.
    """

    S_churn: float
    S_min: float
    S_max: float
    S_noise: float

    def gamma(self, t_i: float, steps: int) -> float:
        """gamma_i: by what factor more the noise level t_i is raised before a step."""
        if not self.S_min <= t_i <= self.S_max:
            return 0.0
        return min(self.S_churn / steps, sqrt(2) - 1)


def sigma_steps(steps: int, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """t_0 > ... > t_N = 0 of Karras et al. 2022, equation 5, (steps + 1,) float64."""
    i = torch.arange(steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + i / (steps - 1) * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])


def heun_sampler(D: Denoiser, noise: Tensor, t: Tensor) -> Tensor:
    """Karras et al. 2022, algorithm 1: Heun's second-order steps along the flow dx/dt = (x - D(x; t)) / t.

    Args:
        D: the denoiser.
        noise: (n, ...) standard normal.
        t: decreasing noise levels ending in 0, from `sigma_steps`.

    Returns:
        (n, ...) images, of the type and range the denoiser gives.
    """
    t = t.to(noise)
    x = noise * t[0]
    for t_i, t_next in pairwise(t):
        x = _heun_step(D, x, t_i, t_next)
    return x


def churn_sampler(D: Denoiser, noise: Tensor, t: Tensor, churn: Churn, fresh: FreshNoise) -> Tensor:
    """Karras et al. 2022, algorithm 2: before each of Heun's steps some noise is added, which corrects errors.

    Args:
        D: the denoiser.
        noise: (n, ...) standard normal.
        t: decreasing noise levels ending in 0, from `sigma_steps`.
        churn: how much noise; with S_churn = 0 this is `heun_sampler`, bit for bit.
        fresh: gives the noise that is added.
    """
    gammas = [churn.gamma(t_i, len(t) - 1) for t_i in t[:-1].tolist()]
    t = t.to(noise)
    x = noise * t[0]
    for (t_i, t_next), gamma in zip(pairwise(t), gammas, strict=True):
        t_hat = t_i
        if gamma > 0:
            t_hat = t_i + gamma * t_i
            x = x + (t_hat.square() - t_i.square()).sqrt() * churn.S_noise * fresh()
        x = _heun_step(D, x, t_hat, t_next)
    return x


def ddim_sampler(D: Denoiser, noise: Tensor, t: Tensor, eta: float, fresh: FreshNoise) -> Tensor:
    """Song et al. 2021 (arXiv 2010.02502), equation 12 with the eta of equation 16, in the scaling of EDM.

    With alpha = 1 / (1 + t^2) the added noise has variance eta^2 t_next^2 (t^2 - t_next^2) / t^2: eta = 0 is
    deterministic (Euler's steps along the flow), eta = 1 is the ancestral sampler of DDPM.

    Args:
        D: the denoiser.
        noise: (n, ...) standard normal.
        t: decreasing noise levels ending in 0, from `sigma_steps`.
        eta: in [0, 1].
        fresh: gives the noise that is added; not called where eta is 0.
    """
    t = t.to(noise)
    x = noise * t[0]
    for t_i, t_next in pairwise(t):
        denoised = D(x, t_i.expand(len(x)))
        added = eta * t_next * (1 - (t_next / t_i).square()).sqrt()
        x = denoised + (t_next.square() - added.square()).sqrt() * (x - denoised) / t_i
        if eta > 0 and t_next != 0:
            x = x + added * fresh()
    return x


def _heun_step(D: Denoiser, x: Tensor, t_i: Tensor, t_next: Tensor) -> Tensor:
    """One step from t_i to t_next, without the correction where t_next is 0."""

    def derivative(x: Tensor, t: Tensor) -> Tensor:
        return (x - D(x, t.expand(len(x)))) / t

    d_i = derivative(x, t_i)
    x_next = x + (t_next - t_i) * d_i
    if t_next != 0:
        x_next = x + (t_next - t_i) * (d_i + derivative(x_next, t_next)) / 2
    return x_next
