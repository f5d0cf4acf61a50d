"""EDM: preconditioning, loss weight, noise levels of training (Karras et al. 2022, arXiv 2206.00364).

Names are the paper's; every function is pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

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


def denoise(F: Denoiser, x: Tensor, c: Preconditioning) -> Tensor:
    """D(x; sigma) = c_skip x + c_out F(c_in x; c_noise) (equation 7).

    Args:
        F: the network, called with scaled images and c_noise (n,).
        x: (n, ...) noisy images.
        c: the four functions at each image's noise level, (n,) each.
    """
    return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * F(per_row(c.c_in, x) * x, c.c_noise)


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """(n,) as (n, 1, ..., 1), to be multiplied with `like` (n, ...)."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
