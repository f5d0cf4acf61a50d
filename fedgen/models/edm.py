"""EDM: preconditioning, loss weight, noise schedule, Heun sampler (Karras et al. 2022, arXiv 2206.00364).

Names are the paper's; every function is pure.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

#: D(x; sigma): noisy images (n, ...) and their noise level (n,) to denoised images (n, ...).
Denoiser = Callable[[Tensor, Tensor], Tensor]


class Preconditioning(NamedTuple):
    """The four functions of sigma in table 1, column "Ours", each of sigma's shape."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def precondition(sigma: Tensor, sigma_data: float) -> Preconditioning:
    """Table 1: scalings that give the network F inputs and targets of unit variance at every sigma > 0."""
    total = sigma.square() + sigma_data**2
    return Preconditioning(
        c_skip=sigma_data**2 / total,
        c_out=sigma * sigma_data / total.sqrt(),
        c_in=1 / total.sqrt(),
        c_noise=sigma.log() / 4,
    )


def loss_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """lambda(sigma) = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 = 1 / c_out^2 (table 1, section 5)."""
    return (sigma.square() + sigma_data**2) / (sigma * sigma_data).square()


def training_sigma(normal: Tensor, P_mean: float, P_std: float) -> Tensor:
    """Noise levels of training: ln sigma ~ N(P_mean, P_std^2), from standard normal numbers (table 1)."""
    return (P_mean + P_std * normal).exp()


def denoise(F: Denoiser, x: Tensor, sigma: Tensor, sigma_data: float) -> Tensor:
    """D(x; sigma) = c_skip x + c_out F(c_in x; c_noise) (equation 7).

    Args:
        F: the network, called with scaled images and c_noise (n,).
        x: (n, ...) noisy images.
        sigma: (n,) noise level of each.
        sigma_data: standard deviation of the data.
    """
    c_skip, c_out, c_in, c_noise = precondition(sigma, sigma_data)
    return per_row(c_skip, x) * x + per_row(c_out, x) * F(per_row(c_in, x) * x, c_noise)


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """(n,) as (n, 1, ..., 1), to be multiplied with `like` (n, ...)."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def sigma_steps(steps: int, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """t_0 > ... > t_N = 0 of equation 5, (steps + 1,) float64."""
    i = torch.arange(steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + i / (steps - 1) * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])


def heun_sampler(D: Denoiser, noise: Tensor, t: Tensor) -> Tensor:
    """Algorithm 1, deterministic: Heun's second-order steps along the flow dx/dt = (x - D(x; t)) / t.

    Args:
        D: the denoiser.
        noise: (n, ...) standard normal.
        t: decreasing noise levels ending in 0, from `sigma_steps`.

    Returns:
        (n, ...) images, of the type and range the denoiser gives.
    """

    def derivative(x: Tensor, t_i: Tensor) -> Tensor:
        return (x - D(x, t_i.expand(len(x)))) / t_i

    t = t.to(noise)
    x = noise * t[0]
    for t_i, t_next in pairwise(t):
        d_i = derivative(x, t_i)
        x_next = x + (t_next - t_i) * d_i
        if t_next != 0:
            x_next = x + (t_next - t_i) * (d_i + derivative(x_next, t_next)) / 2
        x = x_next
    return x
