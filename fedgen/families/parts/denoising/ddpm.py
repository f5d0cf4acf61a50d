"""DDPM in EDM's frame (Ho et al. 2020; the columns "VP" of table 1 in Karras et al. 2022, arXiv 2206.00364).

With x = y + sigma n the network predicts the noise: F = n. The noise levels are those of the linear schedule in
continuous time (Song et al. 2021): sigma(t)^2 = exp(beta_d t^2 / 2 + beta_min t) - 1. Names are the papers'; every
function is pure.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fedgen.families.parts.denoising.edm import Preconditioning

#: Ho et al. have 1000 steps with beta from 1e-4 to 0.02; times 1000 they are beta_min and beta_min + beta_d.
BETA_MIN, BETA_D = 0.1, 19.9
#: Earliest time of training.
EPSILON_T = 1e-5


def ddpm_sigma(t: Tensor) -> Tensor:
    """The noise level at time t in (0, 1], of t's shape."""
    return torch.expm1(BETA_D * t.square() / 2 + BETA_MIN * t).sqrt()


def ddpm_time(sigma: Tensor) -> Tensor:
    """The inverse of `ddpm_sigma`."""
    log = torch.log1p(sigma.square())
    return ((BETA_MIN**2 + 2 * BETA_D * log).sqrt() - BETA_MIN) / BETA_D


def ddpm_precondition(sigma: Tensor) -> Preconditioning:
    """The four functions of sigma, each of sigma's shape; c_noise is the time, in (0, 1] up to sigma = 152."""
    return Preconditioning(
        c_skip=torch.ones_like(sigma),
        c_out=-sigma,
        c_in=1 / (sigma.square() + 1).sqrt(),
        c_noise=ddpm_time(sigma),
    )


def ddpm_loss_weight(sigma: Tensor) -> Tensor:
    """lambda(sigma) = 1 / sigma^2 = 1 / c_out^2: the loss is |F - n|^2, "simple" in Ho et al."""
    return 1 / sigma.square()


def ddpm_training_sigma(uniform: Tensor) -> Tensor:
    """Noise levels of training at uniform times, from numbers uniform in [0, 1)."""
    return ddpm_sigma(EPSILON_T + uniform * (1 - EPSILON_T))
